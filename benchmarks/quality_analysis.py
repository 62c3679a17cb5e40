"""What quality.py's numbers say: how often the right memory comes first, and what the failures share."""

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from results import table

RESAMPLES = 10_000
MAIN, RIVAL = "signed", "shared words / all words"
"""The measure that stands for memscope, and the best of the three word overlaps on the 160 cases."""
SCORES = (
    "signed",
    "clamped",
    "token-clamped",
    "per token",
    "per memory token",
    "largest token",
    "shared words",
    "shared words / all words",
    "shared words, rare ones more",
    "random",
    "ContextCite at equal tokens",
    "ContextCite-32",
)
MEASURES = ("hit@1 in gold", "hit@1 gold_first", "MRR gold", "MRR gold_first")
_STOP = frozenset(
    """
    a about after again all also always am an and any are as at be because been before being both but by can
    could did do does don't each even ever every feel felt few for from get go good got great had has have
    he her here him his how i i'm if in into is it it's its just know let's like make me more most much my
    no not now of on once one only or other our out over own really remember said same she should so some
    such than that that's the their them then there these they this those time to too up us very was way we
    well were what when where which while who why will with would yes you you're your
    """.split()  # noqa: SIM905
)


def words(text: str) -> frozenset[str]:
    """The words of a text that say something, without their commonest endings."""
    found = re.findall(r"[^\W\d_]+(?:'[a-z]+)?", text.lower().replace("’", "'"))
    return frozenset(_stem(word.removesuffix("'s")) for word in found if word not in _STOP)


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word


def outcome(scores: NDArray[np.float64], gold: NDArray[np.bool_]) -> tuple[float, float]:
    """Whether the first memory is gold, and 1 / the first gold one's rank; where scores tie, the mean over
    all orders of the tied."""
    best = scores[gold].max()
    before = int((scores > best).sum())
    tied, right = int((scores == best).sum()), int((gold & (scores == best)).sum())
    hit = right / tied if before == 0 else 0.0
    # the chance that the first of `right` gold ones among `tied` stands at place j
    ways = math.comb(tied, right)
    chances = [math.comb(tied - j, right - 1) / ways for j in range(1, tied - right + 2)]
    return hit, sum(chance / (before + j) for j, chance in enumerate(chances, 1))


def interval(values: NDArray[np.float64], seed: int) -> list[float]:
    """The mean of values by case, and its 95 % bootstrap interval."""
    chance = np.random.default_rng(seed)
    means = values[chance.integers(0, len(values), (RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return [round(float(number), 4) for number in (values.mean(), low, high)]


def mcnemar(only_first: int, only_second: int) -> float:
    """The two-sided exact p of so many cases that only one of two got right."""
    n, k = only_first + only_second, min(only_first, only_second)
    return min(1.0, 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2**n) if n else 1.0


def overlaps(case: dict[str, Any]) -> dict[str, NDArray[np.float64]]:
    """Each memory's words shared with the response, counted in three ways."""
    said = words(case["messages"][case["target_turn"]]["content"])
    texts = [words(memory["text"]) for memory in case["memories"]]
    rarity = {
        word: math.log(len(texts) / sum(word in text for text in texts)) + 0.1
        for word in said.union(*texts)
        if any(word in text for text in texts)
    }
    return {
        "shared words": np.array([float(len(said & text)) for text in texts]),
        "shared words / all words": np.array([len(said & text) / max(1, len(said | text)) for text in texts]),
        "shared words, rare ones more": np.array(
            [round(sum(rarity[word] for word in sorted(said & text)), 9) for text in texts]
        ),
    }


def scores_of(case: dict[str, Any], known: dict[str, dict[str, Any]]) -> dict[str, NDArray[np.float64]]:
    """Each memory's score by everything that is known of a case, by the stages of quality.py."""
    found = {**overlaps(case), "random": np.zeros(len(case["memories"]))}
    if "memscope" in known:
        drops = np.array(known["memscope"]["drops"])
        signed = drops.sum(axis=1)
        found |= {
            "signed": signed,
            "clamped": np.maximum(signed, 0),
            "token-clamped": np.maximum(drops, 0).sum(axis=1),
            "per token": signed / drops.shape[1],
            "per memory token": signed / np.array(known["memscope"]["memory_tokens"]),
            "largest token": drops.max(axis=1),
        }
    if "contextcite-equal" in known:
        parts = [known["contextcite-equal"]]
        found["ContextCite at equal tokens"] = _fit(case, parts)
        if "contextcite-32" in known:
            found["ContextCite-32"] = _fit(case, [*parts, known["contextcite-32"]])
    return found


def _fit(case: dict[str, Any], parts: Sequence[dict[str, Any]]) -> NDArray[np.float64]:
    """ContextCite's own fit to the masks so far."""
    from rival_packages import LassoRegression, masks_of

    outputs = np.array([output for part in parts for output in part["outputs"]])
    masks = masks_of(len(case["memories"]), len(outputs))
    weights, _ = LassoRegression().fit(masks, outputs, parts[0]["length"])
    return np.asarray(weights, np.float64)


def report(
    cases: Sequence[dict[str, Any]], stages: dict[str, dict[str, dict[str, Any]]], seed: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Figures and tables; also printed."""
    known = {
        case["id"]: {stage: found[case["id"]] for stage, found in stages.items() if case["id"] in found}
        for case in cases
    }
    done = [case for case in cases if "memscope" in known[case["id"]]]
    if not done:
        raise SystemExit("Nothing has been computed yet.")
    scores = {case["id"]: scores_of(case, known[case["id"]]) for case in done}
    figures: dict[str, Any] = {"cases": len(done), "cases_in_all": len(cases)}
    tables = [_main_table(done, scores, figures, seed), _paired_table(done, scores, figures, seed)]
    best = max(SCORES[:6], key=lambda name: figures["methods"][name]["hit@1 in gold"][0])
    figures["best_metric"] = best
    tables.append(_failures(done, scores, known, figures))
    both = [found for found in known.values() if "contextcite-equal" in found]

    def mean(numbers: Sequence[float], digits: int = 1) -> float | None:
        return round(float(np.mean(numbers)), digits) if numbers else None

    figures["tokens"] = {
        "memscope_mean": mean([known[case["id"]]["memscope"]["tokens"] for case in done]),
        "contextcite_equal_mean": mean([sum(found["contextcite-equal"]["costs"]) for found in both]),
        "memscope_mean_of_those": mean([found["memscope"]["tokens"] for found in both]),
        "contextcite_equal_masks_mean": mean([found["contextcite-equal"]["stop"] for found in both], 2),
    }
    for one in tables:
        print(f"\n{one['title']}\n{one['note']}")
        for row in [one["columns"], *one["rows"]]:
            print("  ".join(f"{cell!s:>28}" if i else f"{cell!s:34}" for i, cell in enumerate(row)))
    print(f"\nbest of memscope's by hit@1 in gold: {best}; tokens: {figures['tokens']}")
    for failure in figures["strongest_failures"]:
        print(failure)
    return figures, tables


def outcomes(case: dict[str, Any], scores: NDArray[np.float64]) -> list[float]:
    """The four measures of one case."""
    keys = [memory["key"] for memory in case["memories"]]
    in_gold = np.array([key in case["gold_keys"] for key in keys])
    first = np.array([key == case["gold_first"] for key in keys])
    (hit, rank), (hit_first, rank_first) = outcome(scores, in_gold), outcome(scores, first)
    return [hit, hit_first, rank, rank_first]


def _shown(numbers: Sequence[float]) -> str:
    return f"{numbers[0]:.3f} [{numbers[1]:.3f}, {numbers[2]:.3f}]"


def _main_table(done: Any, scores: Any, figures: dict[str, Any], seed: int) -> dict[str, Any]:
    rows = []
    figures["methods"] = {}
    for name in SCORES:
        values = np.array([outcomes(c, scores[c["id"]][name]) for c in done if name in scores[c["id"]]])
        if len(values):
            measured = {m: interval(values[:, i], seed) for i, m in enumerate(MEASURES)}
            figures["methods"][name] = {"cases": len(values), **measured}
            rows.append([name, len(values), *(_shown(measured[measure]) for measure in MEASURES)])
    return table(
        f"Which memory comes first: {len(done)} of {figures['cases_in_all']} cases",
        ["ranked by", "cases", *MEASURES],
        rows,
        "Means with 95 % bootstrap intervals over cases; ties count as the mean over their orders.",
    )


def _paired_table(done: Any, scores: Any, figures: dict[str, Any], seed: int) -> dict[str, Any]:
    """Each of memscope's metrics against the others, where the two name different memories first."""
    # clamped and per token rank one response's memories as signed does
    pairs = [(ours, RIVAL) for ours in ("signed", "token-clamped", "per memory token", "largest token")]
    pairs += [(MAIN, other) for other in ("shared words", *SCORES[10:])]
    rows = []
    figures["paired"] = []
    for ours, other in pairs:
        both = [case for case in done if {ours, other} <= scores[case["id"]].keys()]
        if not both:
            continue
        for at, measure in ((0, MEASURES[0]), (1, MEASURES[1])):
            differing = [c for c in both if _tops(scores[c["id"]][ours]) != _tops(scores[c["id"]][other])]
            hits = np.array(
                [[outcomes(c, scores[c["id"]][name])[at] for name in (ours, other)] for c in differing]
            ).reshape(-1, 2)
            all_hits = np.array(
                [[outcomes(c, scores[c["id"]][name])[at] for name in (ours, other)] for c in both]
            )
            wins, losses = (int(((hits[:, i] == 1) & (hits[:, 1 - i] == 0)).sum()) for i in (0, 1))
            difference = interval(all_hits[:, 0] - all_hits[:, 1], seed)
            right = hits.mean(axis=0).round(4).tolist() if len(hits) else [None, None]
            figures["paired"].append(
                {
                    "ours": ours,
                    "other": other,
                    "measure": measure,
                    "cases": len(both),
                    "differing": len(differing),
                    "right_where_differing": right,
                    "only_ours_right": wins,
                    "only_other_right": losses,
                    "mcnemar_p": round(mcnemar(wins, losses), 5),
                    "difference": difference,
                }
            )
            rows.append(
                [
                    f"{ours} against {other}",
                    measure,
                    f"{len(differing)} of {len(both)}",
                    *right,
                    wins,
                    losses,
                    f"{mcnemar(wins, losses):.3f}",
                    _shown(difference),
                ]
            )
    columns = [
        "pair",
        "measure",
        "first memories differ",
        "first right there",
        "second right there",
        "only first right",
        "only second right",
        "McNemar p",
        "difference over all",
    ]
    return table(
        "Where two ways name different memories first",
        columns,
        rows,
        "Ties count in part as right, and not in McNemar's exact test.",
    )


def _tops(scores: NDArray[np.float64]) -> frozenset[int]:
    return frozenset(np.flatnonzero(scores == scores.max()).tolist())


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / max(1, len(one | other))


def features(case: dict[str, Any], record: dict[str, Any], scores: NDArray[np.float64]) -> dict[str, float]:
    """What might set failures apart."""
    keys = [memory["key"] for memory in case["memories"]]
    gold, top = keys.index(case["gold_first"]), int(scores.argmax())
    texts = [words(memory["text"]) for memory in case["memories"]]
    response = case["messages"][case["target_turn"]]["content"]
    said = words(response)
    before = words(" ".join(message["content"] for message in case["messages"][: case["target_turn"]]))
    others = [number for number in range(len(keys)) if number != gold]
    wrong = [number for number in others if keys[number] not in case["gold_keys"]]
    baseline, drops, all_out = (np.array(record[name]) for name in ("baseline", "drops", "all_out"))
    return {
        "response tokens": len(baseline),
        "prompt tokens": record["prompt_tokens"],
        "memories": len(keys),
        "gold memories": len(case["gold_keys"]),
        "place of gold_first (1 = last)": gold / max(1, len(keys) - 1),
        "tokens of gold_first / mean": record["memory_tokens"][gold]
        / float(np.mean(record["memory_tokens"])),
        "tokens of the top memory / mean": record["memory_tokens"][top]
        / float(np.mean(record["memory_tokens"])),
        "words shared, response and gold_first": len(said & texts[gold]),
        "most words shared with a wrong memory": max((len(said & texts[n]) for n in wrong), default=0),
        "share of gold_first's words said before": len(texts[gold] & before) / max(1, len(texts[gold])),
        "share of the response's words said before": len(said & before) / max(1, len(said)),
        "likeness of gold_first to another memory": max(_jaccard(texts[gold], texts[n]) for n in others),
        "drop without any memory, nats a token": float(all_out.sum() / len(baseline)),
        "all out - sum of rows, nats": float(all_out.sum() - drops.sum()),
        "log-probability a token": float(baseline.mean()),
        "share of characters beyond ASCII": sum(not c.isascii() for c in response) / len(response),
    }


def _failures(done: Any, scores: Any, known: Any, figures: dict[str, Any]) -> dict[str, Any]:
    """The features of cases whose first memory by MAIN is not gold, beside those of the others."""
    found = []
    for case in done:
        signed = scores[case["id"]][MAIN]
        keys = [memory["key"] for memory in case["memories"]]
        gold = max(signed[[key in case["gold_keys"] for key in keys]])
        found.append(
            {
                "id": case["id"],
                "hit": outcomes(case, signed)[0] == 1,
                "margin": float(signed.max() - gold),
                "top": float(signed.max()),
                "gold_first": float(signed[keys.index(case["gold_first"])]),
                "top_place": int(signed.argmax()) / max(1, len(keys) - 1),
                "overlap_hit": outcomes(case, scores[case["id"]][RIVAL])[0],
                "features": features(case, known[case["id"]]["memscope"], signed),
            }
        )
    names = list(found[0]["features"])
    rows = []
    figures["failures"] = {}
    for name in names:
        hits, misses = (
            np.array([f["features"][name] for f in found if f["hit"] is hit]) for hit in (True, False)
        )
        if not len(hits) or not len(misses):
            continue
        larger = (misses[:, None] > hits).mean() + (misses[:, None] == hits).mean() / 2
        figures["failures"][name] = [float(misses.mean()), float(hits.mean()), float(larger)]
        rows.append(
            [name, round(float(misses.mean()), 3), round(float(hits.mean()), 3), round(float(larger), 3)]
        )
    rows.sort(key=lambda row: -abs(row[3] - 0.5))
    figures["top_places"] = np.histogram([f["top_place"] for f in found], bins=3, range=(0, 1))[0].tolist()
    worst = sorted((f for f in found if not f["hit"]), key=lambda f: -f["margin"])
    figures["strongest_failures"] = [_told(failure) for failure in worst[:15]]
    misses = len(worst)
    return table(
        f"What sets the {misses} failures of `{MAIN}` apart from the {len(found) - misses} others",
        ["feature", "mean in failures", "mean in the others", "larger in a failure"],
        rows,
        "The last column is the chance that a failure has more of it than another case: 0.5 says nothing."
        f" The memories named first stand in the first, second and last third of their list in"
        f" {', '.join(map(str, figures['top_places']))} cases.",
    )


def _told(failure: dict[str, Any]) -> dict[str, Any]:
    """A failure's numbers, rounded."""

    def rounded(value: Any) -> Any:
        return round(value, 3) if isinstance(value, float) else value

    flat = {**failure, **failure["features"]}
    return {name: rounded(value) for name, value in flat.items() if name not in ("features", "hit")}
