"""Trains a small convolutional network on scikit-learn's digits."""

import argparse
import os

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--dropout", type=float, default=0.25)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", default="output", help="folder for the checkpoint of each epoch")
    parser.add_argument("--resume", help="checkpoint to go on from")
    return parser.parse_args()


def build_model(channels, dropout):
    return nn.Sequential(
        nn.Conv2d(1, channels, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(channels, 2 * channels, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(2 * channels * 16, 10),
    )


def load_data(batch_size):
    X, y = load_digits(return_X_y=True)
    X = torch.tensor(X / 16, dtype=torch.float32).reshape(-1, 1, 8, 8)
    train_X, test_X, train_y, test_y = train_test_split(X, torch.tensor(y), test_size=0.3, random_state=0)
    train_set = TensorDataset(train_X, train_y)
    test_set = TensorDataset(test_X, test_y)
    return DataLoader(train_set, batch_size=batch_size, shuffle=True), DataLoader(test_set, batch_size=512)


def train(model, loader, optimizer):
    model.train()
    for X, y in loader:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(X), y).backward()
        optimizer.step()


def evaluate(model, loader):
    model.eval()
    with torch.no_grad():
        right = sum((model(X).argmax(1) == y).sum().item() for X, y in loader)
    return right / len(loader.dataset)


def save_checkpoint(folder, epoch, model, optimizer):
    os.makedirs(folder, exist_ok=True)
    state = {"epoch": epoch, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(state, os.path.join(folder, "checkpoint.pt"))


def main():
    args = parse_args()
    torch.manual_seed(args.seed)
    train_loader, test_loader = load_data(args.batch_size)
    model = build_model(args.channels, args.dropout)
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=args.momentum)
    first_epoch = 1
    if args.resume:
        state = torch.load(args.resume)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first_epoch = state["epoch"] + 1

    for epoch in range(first_epoch, args.epochs + 1):
        train(model, train_loader, optimizer)
        print(f"epoch {epoch}: test accuracy {evaluate(model, test_loader):.4f}")
        save_checkpoint(args.output, epoch, model, optimizer)

    accuracy = evaluate(model, test_loader)
    print(f"final test accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
