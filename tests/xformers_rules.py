"""xformers where it cannot be installed: the written-out formula, and the rules by which its kernels refuse a bias."""

import sys
import types

import torch


def memory_efficient_attention(query, key, value, attn_bias=None):
    """Over (b, n, heads, d); a bias is (b, heads, n queries, n keys), its rows aligned to sixteen bytes."""
    scores = torch.einsum("bqhd,bkhd->bhqk", query, key) * query.shape[-1] ** -0.5
    if attn_bias is not None:
        assert attn_bias.shape == scores.shape  # nothing is broadcast
        assert attn_bias.dtype == query.dtype
        aligned = 128 // torch.finfo(attn_bias.dtype).bits
        assert [stride % aligned for stride in attn_bias.stride()[:-1]] == [0, 0, 0], attn_bias.stride()
        assert attn_bias.stride(-1) == 1
        scores = scores + attn_bias
    return torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), value)


def stand_in(monkeypatch):
    """Makes this the xformers that is found."""
    ops = types.ModuleType("xformers.ops")
    ops.memory_efficient_attention = memory_efficient_attention
    monkeypatch.setitem(sys.modules, "xformers", types.ModuleType("xformers"))
    monkeypatch.setitem(sys.modules, "xformers.ops", ops)
    monkeypatch.setattr("zoo.attention.xformers_problem", lambda: None)
