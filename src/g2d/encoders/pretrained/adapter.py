"""Any Hugging Face model as an encoder; the adapter asks the model what it takes and returns."""

from __future__ import annotations

from typing import Any, Self, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from g2d.encoders.frames import over_frames
from g2d.encoders.pretrained.checks import (
    full_text,
    numbers_of_pictures,
    preprocessing,
    random_pooler,
    way_out,
)
from g2d.encoders.pretrained.inputs import (
    BANDS_FIRST,
    by_length,
    filled_up,
    normalized_sound,
    picture_of,
    samples_needed,
    sound_of,
    spectrogram_of,
    text_inputs,
)
from g2d.encoders.pretrained.loading import loaded, transformers
from g2d.encoders.pretrained.parts import Form, all_of, part_for
from g2d.encoders.pretrained.pooling import IN_WORDS, Pooling, pooled_of, pooling_for, tokens_of
from g2d.encoders.pretrained.tuning import add_adapters, freeze_weights
from g2d.errors import ArgumentError
from g2d.files import one_of
from g2d.types import Encoded, Sequence

TAKES: dict[Form, str] = {
    "words": "token ids",
    "picture": "pictures; videos frame by frame",
    "frames": "videos",
    "sound": "samples of sound",
    "spectrogram": "spectrograms",
}
"""Name of each form of input in messages."""


class HuggingFace(nn.Module):
    """Any Hugging Face model.

    Of a model with two encoders the half is used that takes the example, of an encoder-decoder the
    encoder. Axes, lengths and ranges are put as the model takes them. The attribute ``taken``
    says what was chosen.

    Args:
        name: Name of the model, or the local folder that holds it (safetensors; code that comes
            with the model is never run).
        example: Input of some rows, for which the part of the model is chosen and on which it is
            tried.
        frozen: The same as ``freeze="all"``.
        freeze: Weights that are not trained: ``"all"``, ``"none"``, or ``"last-N"`` to train only
            the last N layers and what follows them. A model that is frozen as a whole stays in
            evaluation mode.
        pool: How the features of a row are made:

            - ``"pooler"``: the pooled output of the model;
            - ``"class"``: the class token, the first one;
            - ``"last"``: the last real token;
            - ``"mean"``: the mean over real tokens;
            - ``"auto"``: the last real token of a causal text model; else the pooled output if no
              weight that it depends on is random; else the class token if the model has one; else
              the mean;
            - ``"earlier"``: the pooled output wherever there is one, else the first token, for runs
              of versions without this option.
        lora: Rank of low-rank adapters in the linear layers, of which alone are trained; 0 for
            none. It needs peft (``pip install 'g2d[lora]'``).

    Raises:
        ArgumentError: There is no such model, it cannot take the example, or the checkpoint lacks
            weights on which its tokens depend.
        MissingDependencyError: The transformers or the peft library is not installed.
    """

    def __init__(
        self,
        name: str,
        example: Tensor | Sequence,
        *,
        frozen: bool = False,
        freeze: str = "none",
        pool: Pooling = "auto",
        lora: int = 0,
    ) -> None:
        super().__init__()
        if frozen and freeze not in ("none", "all"):
            raise ArgumentError(f"freeze must be all if frozen is true, found {freeze!r}.")
        if lora and freeze not in ("none", "all"):
            raise ArgumentError(
                f"freeze must be none or all with lora, which trains adapters alone, found "
                f"{freeze!r}."
            )
        self.name, self.freeze, self.lora = name, "all" if frozen else freeze, lora
        one_of("pool", pool, get_args(Pooling))
        self.pool: str = pool
        self.before = pool == "earlier"
        whole, missing = loaded(transformers(f"hf:{name}").AutoModel, name)
        part = all_of(whole) if self.before else part_for(whole, name, example)
        self.model, self.form = part.model, part.form
        self.config: Any = self.model.config
        if hasattr(self.config, "apply_spec_augment") and not self.before:
            # Its masks come from NumPy's generator, and it fails for short sounds.
            self.config.apply_spec_augment = False
        self.extractor = {} if self.before else preprocessing(name, self.form)
        self.pixels = numbers_of_pictures(self.extractor, example)
        lacking = {k.removeprefix(part.prefix) for k in missing if k.startswith(part.prefix)}
        self.pool = self._tried(example, pool, lacking)
        trained = freeze_weights(self.model, self.freeze, name)
        if lora:
            trained = add_adapters(self.model, lora, name)
        facts = [f"{part.words} for {TAKES[self.form]}", f"features are {IN_WORDS[self.pool]}"]
        if self.pixels is not None:
            facts.append("pixels in [0, 1] are normalized as its preprocessor does")
        self.taken = "; ".join([*facts, trained])

    def __repr__(self) -> str:
        options = {"freeze": self.freeze, "pool": self.pool, "lora": self.lora}
        return f"HuggingFace({self.name!r}, {', '.join(f'{k}={v!r}' for k, v in options.items())})"

    def train(self, mode: bool = True) -> Self:
        """Set the mode; a model that is frozen as a whole stays in evaluation mode."""
        super().train(mode)
        if self.freeze == "all" and not self.lora and not self.before:
            self.model.eval()
        return self

    def _tried(self, example: Tensor | Sequence, pool: Pooling, missing: set[str]) -> str:
        """Run the model on an example, so that a wrong input fails now; return the pooling."""
        given = example
        if self.form == "words":
            given = full_text(self.name, self.config, example)
        elif isinstance(example, Sequence) and self.form in ("picture", "frames"):
            raise ArgumentError(
                f"inputs of the encoder {self.name!r} must be one grid per row, as it is no text "
                "model, found a padded sequence."
            )
        outputs: list[Any] = []
        hook = self.model.register_forward_hook(lambda _, __, output: outputs.append(output))
        self.pool = "earlier"  # until the output for the example is known

        @torch.no_grad()
        def run() -> Any:
            outputs.clear()
            self(given)
            return outputs[0]

        try:
            output = run()
            trusted = not random_pooler(self.model, missing, run, self.name)
            if pool == "earlier":
                return pool
            return pooling_for(pool, self.model, self.form, output, trusted=trusted, name=self.name)
        except ArgumentError:
            raise
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            values = given.values if isinstance(given, Sequence) else given
            raise ArgumentError(
                f"inputs of the encoder {self.name!r} must be as the model takes them, found "
                f"{tuple(values.shape)}, for which it fails: {error}"
                f"{way_out(self.config, self.form, values)}"
            ) from error
        finally:
            hook.remove()

    def forward(self, values: Tensor | Sequence) -> Encoded:
        """Encode token ids, pictures, videos, samples of sound or spectrograms.

        Args:
            values: Token ids ``(B, T)``, pictures ``(B, channels, H, W)``, videos ``(B, channels,
                T, H, W)``, samples ``(B, L)`` or spectrograms ``(B, 1, bands, frames)``; with
                their mask where they have one.
        """
        if self.form == "words":
            return self._text(values)
        if self.before:
            return self._encoded(self.model(values))
        if self.form == "sound":
            return by_length(self._sound, values, least=samples_needed(self.config))
        if self.form == "spectrogram":
            return self._spectrogram(values)
        grid = values.values if isinstance(values, Sequence) else values
        grid = self._pixels(grid)
        if self.form == "frames":
            return self._encoded(self.model(grid.transpose(1, 2)))
        return over_frames(lambda images: self._encoded(self.model(images)), grid)

    def _encoded(self, output: Any, mask: Tensor | None = None) -> Encoded:
        return Encoded(pooled_of(output, self.pool, mask), tokens_of(output), mask)

    def _text(self, values: Tensor | Sequence) -> Encoded:
        if not isinstance(values, Sequence):
            values = Sequence(values, torch.ones_like(values, dtype=torch.bool))
        given, mask = text_inputs(self.config, values)
        output = self.model(**given)
        tokens = tokens_of(output)
        whole = F.pad(mask, (0, tokens.shape[1] - mask.shape[1]))
        return Encoded(pooled_of(output, self.pool, whole), tokens[:, : mask.shape[1]], mask)

    def _sound(self, signal: Tensor) -> tuple[Tensor, Tensor]:
        samples = sound_of(signal)
        if self.extractor.get("do_normalize"):
            samples = normalized_sound(samples)
        encoded = self._encoded(self.model(samples))
        assert encoded.tokens is not None
        return encoded.pooled, encoded.tokens

    def _spectrogram(self, values: Tensor | Sequence) -> Encoded:
        given, length = spectrogram_of(self.config, values, self.name)
        if length is None:
            return by_length(self._frames, given)
        frames = given.values if isinstance(given, Sequence) else given
        real = given.mask if isinstance(given, Sequence) else frames.new_ones(frames.shape[:2]) > 0
        real = real | ~real.any(1, keepdim=True)
        output = self._run_frames(filled_up(frames, real, length))
        if self.config.model_type not in BANDS_FIRST:  # its tokens are patches, not times
            return self._encoded(output)
        count = tokens_of(output).shape[1]
        counts = (real.sum(1) * count / length).ceil()
        return self._encoded(output, torch.arange(count, device=frames.device) < counts[:, None])

    def _frames(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        encoded = self._encoded(self._run_frames(frames))
        assert encoded.tokens is not None
        return encoded.pooled, encoded.tokens

    def _run_frames(self, frames: Tensor) -> Any:
        bands_first = self.config.model_type in BANDS_FIRST
        return self.model(frames.transpose(1, 2) if bands_first else frames)

    def _pixels(self, grid: Tensor) -> Tensor:
        grid = picture_of(self.config, grid)
        if self.pixels is None:
            return grid
        shape = (1, -1, *(1,) * (grid.ndim - 2))
        mean, std = (grid.new_tensor(numbers).reshape(shape) for numbers in self.pixels)
        return (grid - mean) / std
