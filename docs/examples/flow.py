"""Flow matching in plain PyTorch: a network without labels on all ten digits, each class judged by itself."""

import sys
from importlib.util import find_spec
from pathlib import Path

import torch
from sklearn.datasets import load_digits

from diffclaims import Monitor, denoisers, plots

EACH = 60
STEPS = 2000

torch.manual_seed(0)
images, labels = (torch.from_numpy(a) for a in load_digits(return_X_y=True))
images = ((images - images.mean()) / images.std()).float()
order = torch.randperm(len(labels))  # they come by writer
rows = [order[labels[order] == c] for c in range(10)]
train, held_out = torch.cat([r[:EACH] for r in rows]), torch.cat([r[EACH:] for r in rows])
x = images[train]

layers = [torch.nn.Linear(64 + 1, 256), torch.nn.SiLU(), torch.nn.Linear(256, 256), torch.nn.SiLU()]
net = torch.nn.Sequential(*layers, torch.nn.Linear(256, 64))
optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)


def velocity(x_t, t):
    """From noise at t = 0 to data at t = 1."""
    return net(torch.cat([x_t, t[:, None]], dim=1))


denoiser = denoisers.from_flow(velocity, data_at=1)
folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/flow")
# Classes are those of the samples; the network is not told them. The training takes seconds, so measuring may take
# as long as it wants.
monitor = Monitor(folder, (x, labels[train]), (images[held_out], labels[held_out]), budget=1)
for step in range(STEPS + 1):
    if monitor.due(step):
        monitor.measure(step, denoiser)
    data, noise, t = x[torch.randint(len(x), (128,))], torch.randn(128, 64), torch.rand(128)
    answer = velocity(t[:, None] * data + (1 - t[:, None]) * noise, t)
    loss = (answer - (data - noise)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

print(monitor.status()[["state", "since", "learned_at", "memorizing_at", "memorized_at"]].to_dataframe())
print(monitor.window().reason)
if find_spec("matplotlib"):
    plots.save(plots.draw_monitor(monitor).figure, folder / "picture.png")
