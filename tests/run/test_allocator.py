"""Freed memory is kept where the C library can be told so."""

from __future__ import annotations

import ctypes
import platform

from memrl.run.allocator import keep_freed_memory


def test_glibc_accepts_the_thresholds():
    assert keep_freed_memory() == (platform.libc_ver()[0] == "glibc")


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not keep_freed_memory()
