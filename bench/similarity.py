#!/usr/bin/env python3
"""All pairs of an exam in numpy: the peer of `exam-analyse similarity`, and a second opinion.

    bench/similarity.py EXAM.csv        the file that `exam-analyse similarity` reads

The same model (a nominal response model at the ability whose expected score is the student's own)
and the same index (omega, given the number of right answers), written again with matrices: numpy's
BLAS does for all pairs at once what the program does pair by pair. Left out are the exact tails, so
the mean and the standard deviation of the index must agree with the program's, and the time is
that of fewer figures. Needs numpy and an exam without missing answers to speak of.
"""
import csv
import sys
import time

import numpy as np

PRIOR = np.array([0.02, 1.0])


def read(path):
    rows = list(csv.DictReader(open(path)))
    items = [name[7:] for name in rows[0] if name.startswith("answer_")]
    chosen = np.array([[row[f"answer_{i}"] for i in items] for row in rows])
    right = np.array([[row[f"score_{i}"] == "1" for i in items] for row in rows])
    return chosen, right


def softmax(linear):
    p = np.exp(linear - linear.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True)


def fit(category, count, ability):
    """Intercept and slope of each category but the first, by Newton's method."""
    free = count - 1
    at = np.zeros((free, 2))
    x = np.stack([np.ones_like(ability), ability], 1)
    hit = np.eye(count)[category][:, 1:]
    for _ in range(12):
        p = softmax(np.hstack([np.zeros((len(x), 1)), x @ at.T]))[:, 1:]
        gradient = (hit - p).T @ x - PRIOR * at
        weight = -p[:, :, None] * p[:, None, :]
        weight[:, range(free), range(free)] += p
        hessian = np.einsum("nkl,na,nb->kalb", weight, x, x).reshape(2 * free, -1)
        hessian += np.diag(np.tile(PRIOR, free))
        step = np.linalg.solve(hessian, gradient.ravel()).reshape(free, 2)
        at += step
        if abs(step).max() < 1e-6:
            break
    return np.vstack([np.zeros(2), at])


def main():
    chosen, right = read(sys.argv[1])
    began = time.perf_counter()
    students, items = chosen.shape
    answered = chosen != ""
    score, of = (right & answered).sum(1), answered.sum(1)
    # Categories: the frequent options, then the rare ones together.
    categories = []
    for i in range(items):
        names, counts = np.unique(chosen[answered[:, i], i], return_counts=True)
        names = [n for n, c in sorted(zip(names, counts), key=lambda x: -x[1]) if c >= 5]
        place = {name: k for k, name in enumerate(names)}
        of_student = np.array([place.get(name, len(names)) for name in chosen[:, i]])
        count = of_student[answered[:, i]].max() + 1
        truth = np.array([right[answered[:, i] & (of_student == k), i].mean() for k in range(count)])
        categories.append((np.minimum(of_student, count - 1), truth))
    ability = np.log((score + 0.5) / (of - score + 0.5))
    grid = np.linspace(-6, 6, 241)
    for _ in range(2):
        ability = (ability - ability.mean()) / ability.std()
        curves = [
            fit(c[answered[:, i]], len(t), ability[answered[:, i]])
            for i, (c, t) in enumerate(categories)
        ]
        expected = np.stack(
            [softmax(np.add.outer(grid * 0, c[:, 0]) + np.outer(grid, c[:, 1])) @ t
             for c, (_, t) in zip(curves, categories)], 1)
        total = answered @ expected.T
        target = np.clip(score, 0.5, of - 0.5)
        ability = np.array([np.interp(t, curve, grid) for t, curve in zip(target, total)])
    # One column per category; a row of `same` has a student's probabilities, of `hit` the choice.
    same, hit, right_of, is_right = [], [], [], []
    for i, (c, t) in enumerate(categories):
        p = softmax(np.add.outer(ability * 0, curves[i][:, 0]) + np.outer(ability, curves[i][:, 1]))
        p *= answered[:, i : i + 1]
        same.append(p)
        hit.append(np.eye(len(t))[c] * answered[:, i : i + 1])
        right_of.append(np.repeat((p @ t)[:, None], len(t), 1))
        is_right.append(t > 0.5)
    same, hit, right_of = (np.hstack(x).astype(np.float32) for x in (same, hit, right_of))
    is_right = np.hstack(is_right)
    own = np.repeat(right, [len(t) for _, t in categories], 1) * (right_of > 0)
    expected = same @ hit.T
    variance = (same * (1 - same)) @ hit.T
    covariance = (same * (is_right - right_of)) @ hit.T
    spread = (right_of * (1 - right_of)) @ hit.T
    beyond = (own - right_of) @ hit.T
    slope = covariance / np.maximum(spread, 1e-3)
    left = np.maximum(variance - slope * covariance, np.maximum(0.05 * variance, 1e-3))
    z = (hit @ hit.T - expected - slope * beyond) / np.sqrt(left)
    z = z[~np.eye(students, dtype=bool)]
    took = time.perf_counter() - began
    print(f"numpy      {students * (students - 1) // 2} pairs of {students} x {items} in {took:.2f} s:"
          f" mean {z.mean():.3f}, sd {z.std():.3f}")


main()
