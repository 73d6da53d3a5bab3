"""Watch a training, class by class: what is learned, what is memorized, when to stop.

    monitor = diffclaims.Monitor("runs/today", train=(x, y), held_out=(xv, yv))
    for step in range(steps):
        ...
        if monitor.due(step):
            monitor.measure(step, denoiser)
    print(monitor.status())

PyTorch is imported when something is measured.
"""

from diffclaims.monitor.monitor import Monitor
from diffclaims.monitor.record import Record
from diffclaims.monitor.store import MonitorRefused
from diffclaims.monitor.window import Window

__all__ = ["Monitor", "MonitorRefused", "Record", "Window"]
