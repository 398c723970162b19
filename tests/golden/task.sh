# A trial of the golden experiments: answers with a number made of what it got, and needs no Python.
x=$(sed 's/.*"x": *\([0-9]*\).*/\1/' hyperparameters.json)
length=$(sed 's/.*"length": *\([0-9]*\).*/\1/' trial.json)
sleep "${GOLDEN_SLEEP_S:-0}"
if [ "$x" -eq 7 ]; then
    echo "7 is refused"
    exit 3
fi
echo "{\"loss\": $((1000 - x * length)), \"length\": $length}" > result.json
