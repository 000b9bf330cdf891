"""Peers and a method in a LightningModule.

Lightning runs the loop; the cohort and the method are parts of the module. Two hooks connect them: `start_epoch` before
each epoch, and `after_step` after each update. Needs `pip install lightning`.
"""

import lightning
import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

import peerdistill as pdl


class Peers(lightning.LightningModule):
    """Peers that learn from each other with DML."""

    def __init__(self, train_labels: torch.Tensor):
        super().__init__()
        self.cohort = pdl.Cohort("resnet8", classes=10, peers=2, sharing="network", in_channels=1, image_size=8)
        self.method = pdl.methods.dml(self.cohort, train_labels)

    def on_train_epoch_start(self) -> None:
        """Set the weights that ramp up over the first epochs."""
        self.method.start_epoch(self.current_epoch)

    def training_step(self, batch, _):
        """Return the loss of a batch; its indices are rows of the training set, for methods with a memory bank."""
        images, labels, indices = batch
        loss = self.method(self.cohort(images), labels, indices)
        self.log_dict({"loss": loss.total, **loss.parts}, prog_bar=True)
        return loss.total

    def on_train_batch_end(self, *_) -> None:
        """Update what follows the weights, such as an EMA."""
        self.method.after_step(self.cohort)

    def configure_optimizers(self):
        """Train peers and method together."""
        return torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)


def main(epochs: int = 3) -> float:
    """Train, and return the accuracy of the leader on held-out digits."""
    lightning.seed_everything(0)
    pixels, labels = (torch.tensor(array) for array in load_digits(return_X_y=True))
    images = pixels.float().view(-1, 1, 8, 8) / 16
    train = TensorDataset(images[:1400], labels[:1400], torch.arange(1400))
    peers = Peers(labels[:1400])
    trainer = lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False, enable_model_summary=False
    )
    trainer.fit(peers, DataLoader(train, batch_size=64, shuffle=True, drop_last=True))
    leader = peers.cohort.leader().eval()
    with torch.no_grad():
        accuracy = (leader(images[1400:]).argmax(1) == labels[1400:]).double().mean().item()
    print(f"leader: {accuracy:.1%} of {len(labels[1400:])} digits")
    return accuracy


if __name__ == "__main__":
    main()
