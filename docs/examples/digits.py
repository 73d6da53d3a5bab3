"""Which class is memorized first? An MLP of one's own on digits: 150, 150 and 15 images of three classes."""

import sys
from importlib.util import find_spec
from pathlib import Path

import torch
from sklearn.datasets import load_digits

from diffclaims import Monitor, denoisers, plots

SIZES = {0: 150, 1: 150, 2: 15}
STEPS = 1000


class Net(torch.nn.Module):  # what EDM has inside its preconditioning
    def __init__(self):
        super().__init__()
        self.label = torch.nn.Embedding(len(SIZES), 16)
        self.body = torch.nn.Sequential(torch.nn.Linear(64 + 1 + 16, 256), torch.nn.SiLU())
        self.body.extend([torch.nn.Linear(256, 256), torch.nn.SiLU(), torch.nn.Linear(256, 64)])

    def forward(self, x, log_sigma, labels):
        return self.body(torch.cat([x, log_sigma[:, None], self.label(labels)], dim=1))


torch.manual_seed(0)
images, labels = (torch.from_numpy(a) for a in load_digits(return_X_y=True))
images = ((images - images.mean()) / images.std()).float()
order = torch.randperm(len(labels))  # they come by writer
rows = {c: order[labels[order] == c] for c in SIZES}
train = torch.cat([rows[c][:n] for c, n in SIZES.items()])
held_out = torch.cat([rows[c][n:] for c, n in SIZES.items()])
x, y = images[train], labels[train]

net = Net()
optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
denoiser = denoisers.from_edm(net, raw=True, sigma_data=1.0)
folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/digits")
# The training takes seconds, so measuring may take as long as it wants.
unseen = images[held_out], labels[held_out]
monitor = Monitor(folder, train=(x, y), held_out=unseen, budget=1, images=(8, 8))
for step in range(STEPS + 1):
    if monitor.due(step):
        monitor.measure(step, denoiser)
    some = torch.randint(len(x), (64,))
    sigma, noise = (1.2 * torch.randn(64, 1) - 0.5).exp(), torch.randn(64, 64)
    scale = (1 + sigma**2).sqrt()
    target = (sigma * x[some] - noise) / scale  # what is left of x0 beside c_skip x_noisy, over c_out
    loss = (net((x[some] + sigma * noise) / scale, sigma[:, 0].log() / 4, y[some]) - target).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

print(monitor.status()[["state", "since", "learned_at", "memorizing_at", "memorized_at"]].to_dataframe())
print(monitor.window().reason)
if find_spec("matplotlib"):
    plots.save(plots.draw_monitor(monitor).figure, folder / "picture.png")
