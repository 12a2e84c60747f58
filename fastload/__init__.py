"""fastload: loads LLM servers until they saturate, and measures them by the kernel's clock."""

from __future__ import annotations

__version__ = "0.1.0"
