import pytest

from peerdistill.errors import UserError
from peerdistill.training import OptimizerConfig, ScheduleConfig, TrainingConfig


def test_defaults_are_in_range():
    TrainingConfig().check()


@pytest.mark.parametrize(
    "config",
    [
        TrainingConfig(epochs=1, batch_size=1, log_every=1, seed=0, checkpoint_every=0, lr=1e-9),
        TrainingConfig(optimizer=OptimizerConfig(momentum=0.0, weight_decay=0.0)),
        TrainingConfig(schedule=ScheduleConfig(warmup=0.999)),
    ],
)
def test_limits_are_allowed(config):
    config.check()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in ("epochs", "batch_size", "log_every") for value in (0, -1)),
        *((name, -1) for name in ("seed", "checkpoint_every")),
        *(("lr", value) for value in (0.0, -0.1, float("nan"))),
        *(("optimizer.momentum", value) for value in (-0.1, 1.0)),
        ("optimizer.weight_decay", -1e-9),
        *(("schedule.warmup", value) for value in (-0.1, 1.0)),
        ("schedule.every", 0),
        *(("schedule.factor", value) for value in (0.0, 1.1)),
    ],
)
def test_the_error_of_a_value_out_of_range_names_its_option(name, value):
    group, _, field = name.rpartition(".")
    kinds = {"optimizer": OptimizerConfig, "schedule": ScheduleConfig}
    config = TrainingConfig(**({group: kinds[group](**{field: value})} if group else {field: value}))
    with pytest.raises(UserError, match=rf"^{name} must be .*, found {value}$"):
        config.check()
