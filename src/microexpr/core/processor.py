"""What the processor computes natively."""

from __future__ import annotations


def native_bf16() -> bool:
    """Whether this processor multiplies bfloat16 numbers itself (AVX512-BF16 or AMX), and torch may let it.

    Others emulate them, which is slower than float32. Kernels without AVX-512 (``ATEN_CPU_CAPABILITY=avx2``) count as a
    processor without it.
    """
    import torch

    capable = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return capable and torch.backends.cpu.get_cpu_capability().startswith("AVX512")
