"""Training checkpoints: state that is saved and restored, and the average of several."""

import torch

from asr.model.acoustic_model import AcousticModel
from asr.model.config import ModelConfig
from asr.training.checkpoint import average_weights, load_state, save_state, save_weights


def small_model(seed: int) -> AcousticModel:
    torch.manual_seed(seed)
    return AcousticModel(ModelConfig(channels=2, layers=1, width=4), mels=8, tokens=3)


def test_average_is_the_mean(tmp_path):
    models = [small_model(seed) for seed in range(3)]
    paths = [tmp_path / f"{number}.safetensors" for number in range(3)]
    for path, model in zip(paths, models, strict=True):
        save_weights(path, model)
    mean = average_weights(paths)["head.weight"]
    torch.testing.assert_close(mean, sum(model.head.weight for model in models) / 3)


def test_state_brings_back_weights_their_average_and_moments(tmp_path):
    def step(model, optimizer):
        torch.manual_seed(1)
        optimizer.zero_grad()
        output, _ = model(torch.rand(1, 16, 8), torch.tensor([16]))
        output.square().sum().backward()
        optimizer.step()

    model = small_model(0)
    optimizer = torch.optim.AdamW(model.parameters())
    step(model, optimizer)
    average = {name: value + 1 for name, value in model.state_dict().items()}
    save_state(tmp_path / "state.safetensors", model, optimizer, average, {"step": 1})
    step(model, optimizer)
    after_two = {name: value.clone() for name, value in model.state_dict().items()}

    other = small_model(5)
    other_optimizer = torch.optim.AdamW(other.parameters())
    others = {name: torch.zeros_like(value) for name, value in average.items()}
    assert load_state(tmp_path / "state.safetensors", other, other_optimizer, others) == {"step": 1}
    assert all(torch.equal(others[name], average[name]) for name in average)
    step(other, other_optimizer)
    for name, value in other.state_dict().items():
        assert torch.equal(value, after_two[name]), name
