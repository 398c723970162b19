// Our page: the experiments in a table, and what is behind the chosen one. All text goes into the page as text, never as HTML.
"use strict";

const REFRESH_MS = 3000;
const byId = (id) => document.getElementById(id);
const state = { chosen: 0, trial: null, attempt: null, timer: 0, refreshes: 0 };

function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function put(id, ...children) {
  byId(id).replaceChildren(...children);
}

// A heading that begins with # is of numbers, one that begins with ~ of long texts.
function table(headings, rows, none) {
  if (!rows.length) return make("p", { className: "weak" }, none);
  const kinds = headings.map((heading) => ({ "#": "number", "~": "long" })[heading[0]] ?? "");
  const cell = (tag) => (content, index) => make(tag, { className: kinds[index] }, content);
  const head = make("tr", {}, ...headings.map((heading, index) => cell("th")(kinds[index] ? heading.slice(1) : heading, index)));
  const body = rows.map((row) => make("tr", {}, ...row.map((content, index) => cell("td")(content ?? "", index))));
  return make("table", {}, make("thead", {}, head), make("tbody", {}, ...body));
}

function number(value) {
  return typeof value === "number" ? String(Number(value.toPrecision(6))) : "";
}

function count(value) {
  return value ? value.toLocaleString("en") : "";
}

function ago(time_s) {
  const seconds = Math.max(0, Date.now() / 1000 - time_s);
  const [size, unit] = seconds < 120 ? [1, "s"] : seconds < 7200 ? [60, "min"] : seconds < 172800 ? [3600, "h"] : [86400, "d"];
  return `${Math.floor(seconds / size)} ${unit}`;
}

function states(counts) {
  const parts = Object.entries(counts).sort(([a], [b]) => a.localeCompare(b));
  return parts.flatMap(([name, n], index) => [
    index ? " · " : "", make("span", { className: name }, `${n.toLocaleString("en")} ${name.toLowerCase()}`),
  ]);
}

async function ask(path, options) {
  const response = await fetch(`/shadho/experiments${path}`, options);
  if (!response.ok) {
    const said = await response.json().catch(() => ({ reason: response.statusText }));
    throw new Error(said.reason);
  }
  return response;
}

// What is drawn is a moment behind what is chosen: so what a button does is done to `of`, the index and name that were drawn with it.
async function request(of, action, trial) {
  const what = trial === undefined ? of.name : `trial ${trial} of ${of.name}`;
  if (["cancel", "kill"].includes(action) && !window.confirm(`Really ${action} ${what}?`)) return;
  try {
    const body = JSON.stringify(trial === undefined ? { action } : { action, trial });
    await ask(`/${of.index}/requests`, { method: "POST", headers: { "Content-Type": "application/json" }, body });
    byId("said").textContent = `Asked to ${action} ${what}: its driver does so within a second, or when it is started.`;
  } catch (error) {
    byId("said").textContent = error.message;
  }
  refresh();
}

function button(text, action, className, disabled) {
  return make("button", { type: "button", textContent: text, onclick: action, className: className ?? "", disabled: disabled ?? false });
}

function showExperiments(experiments) {
  const rows = experiments.map((one, index) => {
    const row = make("tr", { className: index === state.chosen ? "chosen" : "", onclick: () => choose(index) });
    const link = make("a", { href: `#${index}`, textContent: one.name });
    const cells = one.error ? [link, one.error, "", "", "", ""] : [
      link, phase(one), make("span", {}, ...states(one.counts)), one.method, one.best ? `${one.metric} ${number(one.best.value)}` : "",
      make("a", { href: `/dashboard/studies/${index}`, textContent: "charts", onclick: (event) => event.stopPropagation() }),
    ];
    row.append(...cells.map((content, place) => make("td", { className: place === 0 || one.error ? "long" : "" }, content)));
    return row;
  });
  const head = make("tr", {}, ...["Name", "", "Trials", "Method", "Best", ""].map((text) => make("th", {}, text)));
  put("experiments", make("thead", {}, head), make("tbody", {}, ...rows));
}

function phase(one) {
  const idle = !one.over && !one.driver;
  const text = one.phase.toLowerCase() + (idle ? ", not running" : "");
  return make("span", { className: `phase ${idle ? "weak" : one.phase}` }, text);
}

function showChosen(index, one) {
  const of = { index, name: one.name };
  byId("chosen").hidden = false;
  document.title = `${one.name}: ${one.phase.toLowerCase()}`;
  byId("name").textContent = one.name;
  put("phase", phase(one));
  put("actions",
    button("Pause", () => request(of, "pause"), "", one.over || one.phase !== "ACTIVE"),
    button("Activate", () => request(of, "activate"), "", one.over || one.phase !== "PAUSED"),
    button("Cancel", () => request(of, "cancel"), "bad", one.over),
    make("a", { href: `/dashboard/studies/${index}`, textContent: "Charts" }));
  const driver = one.driver ? `driver: process ${one.driver.pid} on ${one.driver.host}` : "no driver runs it";
  const best = one.best ? [`best ${one.metric} ${number(one.best.value)} in `, trialLink(of, one.best.trial), " · "] : [];
  const progress = one.progress ? ` · ${Math.round(100 * one.progress)} % done` : "";
  put("summary", ...best, ...states(one.counts), progress, one.turn ? " · " : "", make("span", { className: "weak" }, `${driver} · ${one.directory}`));
  if (one.waiting.length) byId("said").textContent = `Waiting for the driver: ${one.waiting.join(", ")}.`;
  else if (byId("said").textContent.startsWith("Waiting")) byId("said").textContent = "";
  put("machines", engine(one.engine), table(["~Machine", "~GPUs", "#running", "#completed", "#failed", "#lost", "#other"], one.machines.map(machine), "No machine has run anything yet."));
  const most = Math.max(1, ...one.rungs.map((rung) => rung.reached));
  put("rungs", table(["#Length", "#reached", "", "#on the way", "#best", "#trial"], one.rungs.map((rung) => [
    number(rung.length), rung.reached.toLocaleString("en"), make("progress", { max: most, value: rung.reached }), count(rung.coming), number(rung.best),
    rung.trial === null ? "" : trialLink(of, rung.trial, String(rung.trial)),
  ]), "No trial has reported yet."));
  const more = one.running_in_all - one.running.length;
  put("running", table(["Trial", "#attempt", "~Machine", "#since", "#to length", `#last ${one.metric}`, "#"], one.running.map((row) => [
    trialLink(of, row.trial), row.attempt, row.host, row.started_s ? ago(row.started_s) : "", `${number(row.from)} → ${number(row.to)}`, number(row.last),
    make("span", {}, button("Log", () => showLog(of, row.trial, row.attempt), "small"), " ", button("Kill", () => request(of, "kill", row.trial), "small bad")),
  ]), "Nothing runs."), more > 0 ? make("p", { className: "weak" }, `and ${more.toLocaleString("en")} more`) : "");
  put("failures", table(["Trial", "~Machine", "#ago", "Kind", "~Message", "#"], one.failures.map((row) => [
    trialLink(of, row.trial), row.host, row.time_s ? ago(row.time_s) : "", row.kind, row.message, button("Log", () => showLog(of, row.trial, row.attempt), "small"),
  ]), "Nothing has failed."));
}

// What the driver has to run on, as it told last.
function engine(one) {
  if (!one) return "";
  const load = (name, { used, total }) => `${used} of ${total} ${name} in use`;
  const parts = [one.workers === null ? null : `${one.workers} workers`, one.slots === null ? null : `${one.slots} slots`,
    one.cores && load("cores", one.cores), one.gpus && load("GPUs", one.gpus)];
  const groups = one.groups.map((group) => make("li", {},
    `${group.workers} with ${group.cores} cores, ${group.gpus} GPUs, ${number(group.memory_mb / 1024)} GiB`));
  return make("div", {}, make("p", {}, parts.filter(Boolean).join(" · ")), groups.length ? make("ul", {}, ...groups) : null);
}

function machine(one) {
  const { RUNNING, COMPLETED, FAILED, LOST, ...others } = one.attempts;
  const rest = Object.values(others).reduce((sum, n) => sum + n, 0);
  return [one.host, one.gpus, count(RUNNING), count(COMPLETED), count(FAILED), count(LOST), count(rest)];
}

function trialLink(of, trial, text) {
  const show = (event) => { event.preventDefault(); showTrial(of, trial); };
  return make("a", { href: "#trial", onclick: show, textContent: text ?? `trial ${trial}` });
}

async function showTrial(of, trial) {
  if (of.index !== state.chosen) return;
  state.trial = trial;
  byId("number").value = trial;
  byId("log").hidden = true;
  state.attempt = null;
  await refreshTrial();
  byId("trial").scrollIntoView({ block: "center" });
}

async function refreshTrial() {
  const { chosen, trial } = state;
  const of = { index: chosen };
  const stale = () => state.chosen !== chosen || state.trial !== trial;
  try {
    const one = await (await ask(`/${chosen}/trials/${trial}`)).json();
    if (stale()) return;
    const facts = { state: one.state.toLowerCase() };
    if (one.metric !== null) facts[one.name] = number(one.metric);
    Object.assign(facts, one.metrics);
    if (one.failure) facts.failure = one.failure.message;
    facts.length = `${one.length} of ${one.to}`;
    facts.hyperparameters = JSON.stringify(one.hyperparameters, null, 1);
    const list = make("dl", {}, ...Object.entries(facts).flatMap(([name, value]) => [
      make("dt", {}, name), make("dd", {}, typeof value === "string" ? value : JSON.stringify(value)),
    ]));
    const attempts = one.attempts.map((row) => [
      row.attempt, make("span", { className: row.state }, row.state.toLowerCase()), row.host,
      row.started_s ? new Date(row.started_s * 1000).toLocaleString() : "", row.started_s && row.finished_s ? `${number(row.finished_s - row.started_s)} s` : "",
      row.failure_message ?? "", button("Log", () => showLog(of, one.trial, row.attempt), "small"),
    ]);
    put("trial", list, table(["#Attempt", "", "~Machine", "Started", "#took", "~Failure", "#"], attempts, "It has not been attempted yet."));
  } catch (error) {
    if (!stale()) put("trial", error.message);
  }
}

async function showLog(of, trial, attempt) {
  if (state.trial !== trial) await showTrial(of, trial);
  if (of.index !== state.chosen || state.trial !== trial) return;
  state.attempt = attempt;
  await refreshLog();
  byId("log").scrollIntoView({ block: "nearest" });
  byId("log").scrollTop = byId("log").scrollHeight;
}

async function refreshLog() {
  const { chosen, trial, attempt } = state;
  const log = byId("log");
  let text;
  try {
    const answer = await ask(`/${chosen}/trials/${trial}/attempts/${attempt}/log`);
    const none = `No log of attempt ${attempt} is here: it comes when the attempt ends, if not before.`;
    text = answer.status === 204 ? none : (await answer.text()) || "It printed nothing.";
  } catch (error) {
    text = error.message;
  }
  if (state.chosen !== chosen || state.trial !== trial || state.attempt !== attempt) return;
  log.hidden = false;
  const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 4;
  log.textContent = text;
  if (atEnd) log.scrollTop = log.scrollHeight;
}

function choose(index) {
  if (state.chosen !== index) {
    Object.assign(state, { chosen: index, trial: null, attempt: null });
    byId("log").hidden = true;
    byId("said").textContent = byId("number").value = "";
    put("trial");
    history.replaceState(null, "", `#${index}`);
  }
  refresh();
}

async function refresh() {
  clearTimeout(state.timer);
  // Another experiment may be chosen before an answer comes, and that refreshes: the answers to an earlier one are then dropped.
  const turn = ++state.refreshes;
  const stale = () => turn !== state.refreshes;
  try {
    const experiments = await (await ask("")).json();
    if (stale()) return;
    const chosen = state.chosen = Math.min(state.chosen, experiments.length - 1);
    showExperiments(experiments);
    if (experiments[chosen].error) byId("chosen").hidden = true;
    else {
      const one = await (await ask(`/${chosen}`)).json();
      if (stale()) return;
      showChosen(chosen, one);
    }
    if (state.trial !== null) await refreshTrial();
    if (state.attempt !== null) await refreshLog();
    if (stale()) return;
    byId("fault").textContent = "";
  } catch (error) {
    if (stale()) return;
    byId("fault").textContent = `The dashboard does not answer: ${error.message}`;
  }
  // A page that nobody sees asks for nothing.
  if (!document.hidden) state.timer = setTimeout(refresh, REFRESH_MS);
}

document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
window.addEventListener("hashchange", () => { if (/^#\d+$/.test(location.hash)) choose(Number(location.hash.slice(1))); });
byId("find").addEventListener("submit", (event) => { event.preventDefault(); if (/^\d+$/.test(byId("number").value)) showTrial({ index: state.chosen }, Number(byId("number").value)); });
state.chosen = /^#\d+$/.test(location.hash) ? Number(location.hash.slice(1)) : 0;
refresh();
