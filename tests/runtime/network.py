"""ResNet-50 v1.5 as PyTorch modules, with the names that published state_dicts use.

Written for the tests from the paper's table of layers: torchvision need not be installed, and
a strict load of a state_dict proves every name and shape in it.
"""

from __future__ import annotations

from typing import Any


def network(torch: Any) -> Any:
    """Return the untrained network; `torch` is the module PyTorch."""
    nn = torch.nn

    class Bottleneck(nn.Module):
        def __init__(self, inside: int, width: int, stride: int) -> None:
            super().__init__()
            wide = 4 * width
            self.conv1 = nn.Conv2d(inside, width, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            # v1.5: the stride sits here and not on the first convolution.
            self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(width)
            self.conv3 = nn.Conv2d(width, wide, 1, bias=False)
            self.bn3 = nn.BatchNorm2d(wide)
            self.downsample = None
            if stride != 1 or inside != wide:
                shortcut = nn.Conv2d(inside, wide, 1, stride, bias=False)
                self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(wide))

        def forward(self, value: Any) -> Any:
            shortcut = value if self.downsample is None else self.downsample(value)
            value = torch.relu(self.bn1(self.conv1(value)))
            value = torch.relu(self.bn2(self.conv2(value)))
            return torch.relu(self.bn3(self.conv3(value)) + shortcut)

    class ResNet50(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
            self.bn1 = nn.BatchNorm2d(64)
            inside = 64
            for stage, depth in enumerate((3, 4, 6, 3)):
                width, blocks = 64 << stage, []
                for position in range(depth):
                    stride = 2 if stage and not position else 1
                    blocks.append(Bottleneck(inside, width, stride))
                    inside = 4 * width
                setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
            self.fc = nn.Linear(inside, 1000)

        def forward(self, value: Any) -> Any:
            value = torch.relu(self.bn1(self.conv1(value)))
            value = nn.functional.max_pool2d(value, 3, 2, 1)
            for stage in range(1, 5):
                value = getattr(self, f"layer{stage}")(value)
            return self.fc(value.mean((2, 3)))

    return ResNet50()
