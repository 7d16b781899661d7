"""The moving average takes in running statistics too, and is that of the ImageNet recipes."""

import torch
from torch import nn

from tinyrefinery.training.loop import average_of


def test_weights_and_running_statistics_by_hand() -> None:
    torch.manual_seed(0)
    network, decay = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), 0.75
    average = average_of(network, decay)
    expected: dict[str, torch.Tensor] = {}
    for number in range(5):
        with torch.no_grad():
            for weight in network.parameters():
                weight.add_(torch.randn_like(weight))
            network(torch.randn(6, 3) + number)
        average.update_parameters(network)
        for name, now in network.state_dict().items():
            now = now.double()
            before = expected.get(name)
            expected[name] = now if before is None else decay * before + (1 - decay) * now
    found = average.module.state_dict()
    for name in ("0.weight", "1.weight", "1.running_mean", "1.running_var"):
        torch.testing.assert_close(found[name].double(), expected[name], rtol=1e-5, atol=1e-6)
    assert not torch.equal(found["1.running_mean"], network[1].running_mean)
