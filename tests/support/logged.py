"""What a logger receives."""

from peerdistill.training import StepReading

LOSS = {"total": 4.5, "cross_entropy": 4.0, "ensemble": 0.375, "contrast": 0.125}


def reading(step: int, epoch: int = 1, speed: float = 1234.4) -> StepReading:
    return StepReading(epoch=epoch, step=step, images_per_second=speed, lr=0.05 / step, loss=LOSS)


def record(epoch: int, step: int, leader: float | None = 81.256) -> dict:
    accuracies = {"peers": [{"top1": 70.0}, {"top1": leader}], "leader": {"top1": leader}, "ensemble": {"top1": 90.0}}
    return {"epoch": epoch, "step": step, "lr": 0.01, "loss": LOSS, "validation": accuracies if leader else None}
