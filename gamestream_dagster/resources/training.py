"""The trained models of one stack; scikit-learn is imported when a model is fitted."""

from datetime import date
from typing import TYPE_CHECKING

import dagster as dg

from gamestream_dagster.settings import Settings

if TYPE_CHECKING:
    from gamestream_dagster.training.registry import Version


class Training:
    """Trains the models of one stack."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def train(self, sunday: date) -> "Version":
        """Train the model of a Sunday, again if there is one: the days may have been settled again.

        Raises:
            TrainingError, ServiceError: as `training.train.train`.
        """
        from gamestream_dagster.training.train import train

        return train(self._settings, sunday, again=True)

    def has(self, sunday: date) -> bool:
        """Whether there is a version of a Sunday."""
        from gamestream_dagster.training.registry import Registry

        return Registry(self._settings).version(sunday) is not None

    def lacks(self, sunday: date) -> str:
        """Why the model of a Sunday cannot be trained yet; empty: it can.

        Raises:
            ServiceError: Postgres does not answer.
        """
        from gamestream_dagster.training.errors import TrainingError
        from gamestream_dagster.training.train import settled_days

        try:
            settled_days(self._settings, sunday)
        except TrainingError as error:
            return str(error)
        return ""


class TrainingResource(dg.ConfigurableResource[Training]):
    """Opens the models of the stack."""

    stack: dg.ResourceDependency[Settings]

    def create_resource(self, context: dg.InitResourceContext) -> Training:
        """The models of one stack."""
        return Training(self.stack)
