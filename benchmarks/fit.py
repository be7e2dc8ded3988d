# SPDX-License-Identifier: Apache-2.0

"""How a cost grows with the number of instances. Pure."""

from collections.abc import Callable, Sequence
import math
import statistics

Point = tuple[float, float]


def line(points: Sequence[Point]) -> tuple[float, float]:
    """Return a and b of cost = a + b N, by least squares.

    Of the relative errors, so that the largest size does not alone decide: a
    cost that was measured as 100 is about as wrong as a hundredth of it.
    """
    return _fitted(points, lambda n, cost: 1 / cost**2)


def exponent(points: Sequence[Point]) -> float:
    """Return k of cost = c N^k, by least squares of the logarithms.

    1 is linear growth, 2 is quadratic; a fixed cost makes it smaller, so
    leave out the sizes at which that counts.
    """
    logs = [(math.log(n), math.log(cost)) for n, cost in points]
    return _fitted(logs, lambda n, cost: 1.0)[1]


def medians(points: Sequence[Point]) -> list[Point]:
    """Return one point for each N, in order."""
    return [
        (n, statistics.median(cost for other, cost in points if other == n))
        for n in sorted({n for n, _ in points})
    ]


def _fitted(
    points: Sequence[Point], weight: Callable[[float, float], float]
) -> tuple[float, float]:
    weights = [weight(n, cost) for n, cost in points]
    total = sum(weights)
    mean_n = _sum(weights, [n for n, _ in points]) / total
    mean_cost = _sum(weights, [cost for _, cost in points]) / total
    slope = _sum(
        weights, [(n - mean_n) * (cost - mean_cost) for n, cost in points]
    ) / _sum(weights, [(n - mean_n) ** 2 for n, _ in points])
    return mean_cost - slope * mean_n, slope


def _sum(weights: Sequence[float], values: Sequence[float]) -> float:
    return sum(w * v for w, v in zip(weights, values, strict=True))
