"""UNet2DModel of diffusers on digits with a long tail: 128 images of the first class, 7 of the last."""

import sys
from importlib.util import find_spec
from pathlib import Path

import diffusers
import torch
from sklearn.datasets import load_digits

from diffclaims import Monitor, denoisers, plots

SIZES = {c: round(128 * (7 / 128) ** (c / 9)) for c in range(10)}
STEPS = 500

torch.manual_seed(0)
images, labels = (torch.from_numpy(a) for a in load_digits(return_X_y=True))
images = (images / 8 - 1).float().reshape(-1, 1, 8, 8)
order = torch.randperm(len(labels))  # they come by writer
rows = {c: order[labels[order] == c] for c in SIZES}
train = torch.cat([rows[c][:n] for c, n in SIZES.items()])
held_out = torch.cat([rows[c][n:] for c, n in SIZES.items()])

net = diffusers.UNet2DModel(
    sample_size=8,
    in_channels=1,
    out_channels=1,
    layers_per_block=1,
    block_out_channels=(32, 32),
    down_block_types=("DownBlock2D", "DownBlock2D"),
    up_block_types=("UpBlock2D", "UpBlock2D"),
    norm_num_groups=8,
    num_class_embeds=10,
)
scheduler = diffusers.DDPMScheduler()
denoiser = denoisers.from_diffusers(net, scheduler)
optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/diffusers")
unseen = images[held_out], labels[held_out]
monitor = Monitor(folder, (images[train], labels[train]), unseen, most=32, budget=1)
for step in range(STEPS + 1):
    if monitor.due(step) or step == STEPS:
        monitor.measure(step, denoiser, samples=step == STEPS)
    some, t = train[torch.randint(len(train), (32,))], torch.randint(1000, (32,))
    noise = torch.randn(32, 1, 8, 8)
    noisy = scheduler.add_noise(images[some], noise, t)
    loss = (net(noisy, t, class_labels=labels[some]).sample - noise).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

print(monitor.status()[["state", "since", "learned_at", "memorizing_at", "memorized_at"]].to_dataframe())
print(monitor.window().reason)
if find_spec("matplotlib"):
    plots.save(plots.draw_monitor(monitor).figure, folder / "picture.png")
