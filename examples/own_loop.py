"""Peers and a method in your own training loop.

A cohort grows several peers from one network, and a method turns their outputs into a loss. The rest is ordinary
PyTorch: this script trains on the digits of scikit-learn and keeps the leader, a plain `nn.Module`.
"""

import torch
from sklearn.datasets import load_digits

import peerdistill as pdl


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Return images (1797, 1, 8, 8) in 0..1, and their labels."""
    pixels, labels = load_digits(return_X_y=True)
    return torch.tensor(pixels, dtype=torch.float32).view(-1, 1, 8, 8) / 16, torch.tensor(labels)


def train(cohort: pdl.Cohort, images: torch.Tensor, labels: torch.Tensor, epochs: int) -> None:
    """Train all peers with MCL-OKD."""
    all_others = pdl.contrast.ContrastOptions(negatives="all")  # every image of another digit is a negative
    method = pdl.methods.mcl_okd(cohort, train_labels=labels, contrast=all_others)
    optimizer = torch.optim.SGD([*cohort.parameters(), *method.parameters()], lr=0.05, momentum=0.9)
    for epoch in range(epochs):
        method.start_epoch(epoch)  # weights that ramp up over the first epochs
        for indices in torch.randperm(len(images)).split(64):
            loss = method(cohort(images[indices]), labels[indices], indices)
            loss.total.backward()
            optimizer.step()
            optimizer.zero_grad()
            method.after_step(cohort)  # states that follow the peers' weights
        parts = ", ".join(f"{name} {value.item():.3f}" for name, value in loss.parts.items())
        print(f"epoch {epoch + 1}: {parts}")


def main(epochs: int = 3) -> float:
    """Train, and return the accuracy of the leader on held-out digits."""
    torch.manual_seed(0)
    images, labels = digits()
    cohort = pdl.Cohort("resnet8", classes=10, peers=4, sharing="branch", in_channels=1, image_size=8)
    train(cohort, images[:1400], labels[:1400], epochs)
    leader = cohort.leader().eval()
    with torch.no_grad():
        accuracy = (leader(images[1400:]).argmax(1) == labels[1400:]).double().mean().item()
    print(f"leader: {accuracy:.1%} of {len(labels[1400:])} digits")
    return accuracy


if __name__ == "__main__":
    main()
