"""Which support vector machine reads handwritten digits best? Four kernels, each with hyperparameters of its own."""

from shadho_like import Shadho, rand, spaces

C = rand.log2_uniform(-5, 15)
gamma = rand.log2_uniform(-15, 3)
coef0 = rand.uniform(-1, 1)

space = spaces.scope(
    exclusive=True,
    linear={"C": C},
    rbf={"C": C, "gamma": gamma},
    sigmoid={"C": C, "gamma": gamma, "coef0": coef0},
    poly={"C": C, "gamma": gamma, "coef0": coef0, "degree": rand.randint(2, 6)},
)


def svm_digits(params):
    from sklearn.datasets import load_digits
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.svm import SVC

    X, y = load_digits(return_X_y=True)
    [(kernel, hyperparameters)] = params.items()
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    scores = cross_val_score(SVC(kernel=kernel, **hyperparameters), X / 16, y, cv=folds)
    return {"accuracy": scores.mean(), "accuracy_std": scores.std()}


if __name__ == "__main__":
    opt = Shadho(svm_digits, space, metric="accuracy", smaller_is_better=False, max_tasks=100, timeout=300, seed=1)
    opt.run()
