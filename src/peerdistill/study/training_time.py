"""Which of the measured times says what a training cost."""

MEANING = "Training time is CPU time for a training on a CPU, else elapsed time."


def training_time(seconds: float | None, cpu_seconds: float | None, device: str | None) -> float | None:
    """Return the seconds by which trainings are compared: CPU time on a CPU, elapsed time on any other device.

    Other programs hardly change the CPU time of a training. On an accelerator, it only says how long the CPU was busy
    with starting kernels or waiting for them.

    Args:
        seconds: Elapsed time.
        cpu_seconds: CPU time of all processes together; None if it was not measured.
        device: Device of the training, such as "cpu" or "cuda:0"; None if it is unknown, then it counts as a CPU.

    Example:
        >>> training_time(60.0, 110.0, "cpu"), training_time(60.0, 110.0, "cuda:0")
        (110.0, 60.0)
    """
    return cpu_seconds if (device or "cpu") == "cpu" else seconds
