"""A class-conditional model with a null class and averaged weights: three digits that look alike."""

import sys
from importlib.util import find_spec
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from diffclaims import Monitor, denoisers, plots

SIZES = {3: 120, 5: 60, 8: 30}
STEPS = 600
NULL = 10  # what stands for no label, behind the last class

torch.manual_seed(0)
images, labels = (torch.from_numpy(a) for a in load_digits(return_X_y=True))
images = ((images - images.mean()) / images.std()).float().reshape(-1, 1, 8, 8)
order = torch.randperm(len(labels))  # they come by writer
rows = {c: order[labels[order] == c] for c in SIZES}
train = torch.cat([rows[c][:n] for c, n in SIZES.items()])
held_out = torch.cat([rows[c][n:] for c, n in SIZES.items()])

layers = [torch.nn.Conv2d(1 + NULL + 2, 32, 3, padding=1)]
for channels in (32, 32, 32, 1):
    layers += [torch.nn.SiLU(), torch.nn.Conv2d(32, channels, 3, padding=1)]
net = torch.nn.Sequential(*layers)
ema = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.99))
optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
abar = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), dim=0)


def predict_noise(x_t, t, labels):  # the class, or none, and the time are further channels
    told = torch.cat([torch.nn.functional.one_hot(labels, NULL + 1), t[:, None] / 1000], dim=1)
    return net(torch.cat([x_t, told[:, :, None, None].expand(-1, -1, 8, 8)], dim=1))


denoiser = denoisers.from_eps(predict_noise, abar, num_classes=10, null="index")
folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/conditional")
unseen = images[held_out], labels[held_out]
monitor = Monitor(folder, (images[train], labels[train]), unseen, most=64, budget=1)
for step in range(STEPS + 1):
    if monitor.due(step) or step == STEPS:
        monitor.measure(step, denoiser, ema=ema.module.state_dict(), samples=step == STEPS)
    some, t = train[torch.randint(len(train), (64,))], torch.randint(1000, (64,))
    noise = torch.randn(64, 1, 8, 8)
    told = torch.where(torch.rand(64) < 0.1, NULL, labels[some])
    a = abar[t][:, None, None, None]
    loss = (predict_noise(a.sqrt() * images[some] + (1 - a).sqrt() * noise, t, told) - noise).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    ema.update_parameters(net)

print(monitor.status()[["state", "since", "learned_at", "memorizing_at", "memorized_at"]].to_dataframe())
print(monitor.window().reason)
if find_spec("matplotlib"):
    plots.save(plots.draw_monitor(monitor).figure, folder / "picture.png")
