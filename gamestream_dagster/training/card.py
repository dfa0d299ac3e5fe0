"""The model card: one Markdown page for each version."""

from __future__ import annotations

from gamestream_dagster.training.difficulty import FEATURES, DifficultyModel
from gamestream_dagster.training.registry import Card, Decision

_SENTENCES = {
    Decision.PUBLISHED: "It is in use: it predicts the held-out week better than the naive baseline, and no worse than "
    "the model before.",
    Decision.KEPT_CURRENT: "It is not in use: the model before predicts the held-out week better.",
    Decision.NOT_BETTER_THAN_NAIVE: "It is not in use: the pass rate of the seven days before predicts as well.",
}


def page_of(card: Card, model: DifficultyModel) -> str:
    """The page of a version."""
    effects = "\n".join(
        f"| `{name}` | {mean:.4g} | {coefficient:+.4f} |"
        for name, mean, coefficient in zip(FEATURES, model.means, model.coefficients, strict=True)
    )
    current = "no model with the same features" if card.current_error is None else f"{card.current_error:.4f}"
    return f"""# difficulty_model, {card.sunday}

{_SENTENCES[card.decision]}

**Predicts** the share of a level's attempts that will be completed on a day, from the seven days before. It is meant
for finding levels that become too hard or too easy; it says nothing about single players, and reads no player's data.

| on the held-out week | error in pass rate (RMSE, weighted by attempts) |
|---|---|
| this model | {card.error:.4f} |
| naive: the pass rate of the seven days before | {card.naive_error:.4f} |
| the model in use before | {current} |

**Data**: the settled metric `level_features`, {len(card.days)} days from {card.days[0]} to {card.days[-1]}.
{card.trained_on:,} examples (a level on a day) to learn from, {card.held_out:,} in the held-out week.

| feature of the seven days before | mean | effect of one standard deviation |
|---|---|---|
{effects}

**Method**: ridge regression (scikit-learn), weighted by attempts; its strength by leave-one-out validation. Unknown
values count as the mean. Features {card.features_version}. Between {model.intercept:.4f} and these effects the
prediction is linear, and cut to 0 to 1.

**Limits**: a level without an attempt in the seven days before has no prediction; a change of the level's design shows
only as its new attempts come in.

SHA-256 of `model.json`: `{card.sha256}`
"""
