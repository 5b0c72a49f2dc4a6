"""Inputs in the axes, lengths and ranges that a pretrained model takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from g2d.errors import ArgumentError
from g2d.functional.spectrogram import as_float
from g2d.types import Encoded, Sequence

WHOLE_TEXTS = frozenset({"siglip_text_model", "siglip2_text_model"})
"""Text models that were trained on texts padded to their full length, without a mask."""
BANDS_FIRST = frozenset({"whisper", "qwen2_audio_encoder", "voxtral_encoder"})
"""Models of spectrograms that take (rows, bands, frames); others take (rows, frames, bands)."""


def text_inputs(config: Any, values: Sequence) -> tuple[dict[str, Tensor], Tensor]:
    """Return the arguments of a text model, and the real tokens ``(B, T)``.

    A row without a real token keeps its first one, so that attention is defined.

    Args:
        config: Configuration of the model.
        values: Token ids.
    """
    ids, mask = values.values.long(), _real(values.mask)
    if config.model_type not in WHOLE_TEXTS:
        return {"input_ids": ids, "attention_mask": mask.long()}, mask
    padding = config.pad_token_id if config.pad_token_id is not None else 0
    room = config.max_position_embeddings - ids.shape[1]
    return {"input_ids": F.pad(ids.masked_fill(~mask, padding), (0, room), value=padding)}, mask


def _real(mask: Tensor) -> Tensor:
    mask = mask.clone()
    mask[:, 0] |= ~mask.any(1)
    return mask


def sound_of(values: Tensor) -> Tensor:
    """Convert samples to float32; whole numbers are scaled to [-1, 1].

    Example:
        >>> sound_of(torch.tensor([[-(2**31), 0]], dtype=torch.int32))
        tensor([[-1.,  0.]])
    """
    if values.is_floating_point() or values.dtype == torch.int16:
        return as_float(values)
    if values.dtype == torch.uint8:
        return (values.float() - 128) / 128
    if values.dtype == torch.int64:
        raise ArgumentError(
            "samples of sound must be float, int16, int32 or uint8, found int64, whose range is "
            "not that of a recording. Divide them by their largest possible value."
        )
    return values.float() / -float(torch.iinfo(values.dtype).min)


def by_length(
    encode: Callable[[Tensor], tuple[Tensor, Tensor]],
    values: Tensor | Sequence,
    *,
    least: int = 1,
) -> Encoded:
    """Encode rows of one length together and without their padding, which then changes nothing.

    A mask would not be enough: models with group norms take statistics over the whole row.

    Args:
        encode: Returns the features and the tokens of rows without padding.
        values: Rows ``(B, T, ...)``, with or without a mask of real steps.
        least: Number of steps that the model needs; shorter rows are filled up with zeros.
    """
    steps = values.values if isinstance(values, Sequence) else values
    if steps.shape[1] < least:
        steps = F.pad(steps, (*(0, 0) * (steps.ndim - 2), 0, least - steps.shape[1]))
    if not isinstance(values, Sequence):
        return Encoded(*encode(steps))
    lengths = values.mask.sum(1)
    lengths = torch.where(lengths == 0, steps.shape[1], lengths.clamp(min=least))
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    for length in lengths.unique().tolist():
        rows = (lengths == length).nonzero().flatten()
        inside = values.mask[rows, :length]
        real = F.pad(inside, (0, length - inside.shape[1]))
        kept = steps[rows, :length]
        kept_steps = real | ~real.any(1, keepdim=True)
        kept = kept.masked_fill(~kept_steps.reshape(*kept_steps.shape, *(1,) * (kept.ndim - 2)), 0)
        parts.append((rows, *encode(kept)))
    longest = max(tokens.shape[1] for _, _, tokens in parts)
    order = torch.cat([rows for rows, _, _ in parts]).argsort()
    tokens = torch.cat([F.pad(t, (0, 0, 0, longest - t.shape[1])) for _, _, t in parts])
    counts = torch.cat([torch.full_like(rows, t.shape[1]) for rows, _, t in parts])[order]
    mask = torch.arange(longest, device=counts.device) < counts[:, None]
    return Encoded(torch.cat([pooled for _, pooled, _ in parts])[order], tokens[order], mask)


def samples_needed(config: Any) -> int:
    """Return the number of samples from which a model's convolutions make one token."""
    needed = 1
    pairs = zip(getattr(config, "conv_kernel", ()), getattr(config, "conv_stride", ()), strict=True)
    for kernel, stride in reversed(list(pairs)):
        needed = (needed - 1) * stride + kernel
    return needed


def normalized_sound(signal: Tensor) -> Tensor:
    """Return samples with zero mean and unit variance per row, as feature extractors do.

    Args:
        signal: Samples ``(B, L)`` without padding.
    """
    mean, variance = signal.mean(1, keepdim=True), signal.var(1, keepdim=True, unbiased=False)
    return (signal - mean) / (variance + 1e-7).sqrt()


def spectrogram_of(
    config: Any, values: Tensor | Sequence, name: str
) -> tuple[Tensor | Sequence, int | None]:
    """Return spectrograms ``(B, frames, bands)``, and the number of frames of the model.

    Args:
        config: Configuration of the model.
        values: Spectrograms ``(B, 1, bands, frames)`` as the step ``log_mel`` makes them, or
            masked ones ``(B, frames, bands)``.
        name: Name of the model, for messages.

    Raises:
        ArgumentError: The spectrograms have other bands, or more frames than the model has.
    """
    steps = values.values if isinstance(values, Sequence) else values
    masked = isinstance(values, Sequence) and steps.ndim == 3
    if not steps.is_floating_point() or not (masked or (steps.ndim == 4 and steps.shape[1] == 1)):
        raise ArgumentError(
            f"inputs of the encoder {name!r} must be spectrograms (rows, 1, bands, frames), found "
            f"{tuple(steps.shape)} {str(steps.dtype).removeprefix('torch.')}. Use the step log_mel "
            "to convert sound."
        )
    frames = steps if steps.ndim == 3 else steps[:, 0].transpose(1, 2)
    bands, longest = getattr(config, "num_mel_bins", None), _frames_of(config)
    if bands is not None and frames.shape[2] != bands:
        raise ArgumentError(
            f"inputs of the encoder {name!r} must have {bands} bands, found {frames.shape[2]}. "
            f"Set the option of the step log_mel: bands: {bands}."
        )
    if longest is not None and frames.shape[1] > longest:
        raise ArgumentError(
            f"inputs of the encoder {name!r} must have at most {longest} frames, found "
            f"{frames.shape[1]}. Shorten the sound, or use a larger hop in the step log_mel."
        )
    return (Sequence(frames, values.mask) if isinstance(values, Sequence) else frames), longest


def _frames_of(config: Any) -> int | None:
    """Return the number of frames that a model of spectrograms requires; None if any."""
    if config.model_type in BANDS_FIRST:
        return 2 * int(config.max_source_positions)  # its second convolution has a stride of 2
    return (
        getattr(config, "max_length", None) if config.model_type.endswith("transformer") else None
    )


def filled_up(frames: Tensor, real: Tensor, length: int) -> Tensor:
    """Return spectrograms of a given length, with the lowest real value of each row as silence.

    Args:
        frames: Spectrograms ``(B, T, bands)``.
        real: Real frames ``(B, T)``, bool.
        length: Number of frames to fill up to.
    """
    low = frames.masked_fill(~real[..., None], torch.inf).flatten(1).amin(1)[:, None, None]
    silence = low.expand(-1, length - frames.shape[1], frames.shape[2])
    return torch.cat([torch.where(real[..., None], frames, low), silence], dim=1)


def picture_of(config: Any, values: Tensor) -> Tensor:
    """Return pictures or videos with as many channels as the model has: gray ones are repeated.

    Args:
        config: Configuration of the model.
        values: Pictures ``(B, channels, H, W)`` or videos ``(B, channels, T, H, W)``.
    """
    channels = getattr(config, "num_channels", None)
    if channels is not None and values.shape[1] == 1 < channels:
        return values.expand(-1, channels, *values.shape[2:])
    return values
