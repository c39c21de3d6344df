"""Runs many command lines of the stock ceph tool with one start of Python,
which costs more than a command does.

usage: cephcli.py FILE NAME, NAME being what $P stands for. A line of FILE is

    osd pool ls                     arguments of ceph
    osd dump -f json => sorted(j)   likewise, but only the value of the expression
                                    is kept; o is the output, e what went to
                                    stderr, j the output as JSON
    ! ceph osd getmap -o m          a shell command
    ~ osd getmap -o m               only the exit code is kept

A command that is told to come again (EAGAIN: no statistics of a group yet) does
so, for up to a minute.

Prints one JSON object a line: line, command, out, err, code.
"""
import copy
import errno
import importlib.machinery
import importlib.util
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import types

import ceph_argparse


def load():
    loader = importlib.machinery.SourceFileLoader("cephcli", "/usr/bin/ceph")
    module = importlib.util.module_from_spec(
        importlib.util.spec_from_loader("cephcli", loader))
    loader.exec_module(module)
    # The tool copies each signature deeply before it matches a command: most of
    # what a command costs. Only the arguments and their values are written to.
    ceph_argparse.copy = types.SimpleNamespace(copy=copy.copy, deepcopy=copy_signature)
    return module


def copy_signature(signature):
    if not isinstance(signature, list):
        return copy.deepcopy(signature)
    out = []
    for arg in signature:
        arg = copy.copy(arg)
        if hasattr(arg, "instance"):
            arg.instance = copy.copy(arg.instance)
        out.append(arg)
    return out


def ceph(cli, args):
    """The outcome of one command, run in a child."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            code = 125
            try:
                os.dup2(out.fileno(), 1)
                os.dup2(err.fileno(), 2)
                signal.alarm(60)  # no answer shows as a signal's exit code
                sys.argv = ["ceph"] + args
                code = cli.main()
                if cli.cluster_handle:
                    cli.run_in_thread(cli.cluster_handle.shutdown)
            except SystemExit as e:
                code = e.code
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code or 0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        texts = []
        for f in (out, err):
            f.seek(0)
            texts.append(f.read().decode(errors="backslashreplace"))
        return texts[0], texts[1], code


def shape(v, depth=9):
    """What a JSON value is made of: names and types, one element for a list."""
    if depth == 0:
        return "..."
    if isinstance(v, dict):
        return {k: shape(x, depth - 1) for k, x in v.items()}
    if isinstance(v, list):
        return [shape(x, depth - 1) for x in v[:1]]
    return "n" if isinstance(v, (int, float)) and not isinstance(v, bool) else type(v).__name__


def grep(text, pattern):
    return "\n".join(l for l in text.splitlines() if re.search(pattern, l))


def sub(text, *pairs):
    for pattern, by in zip(pairs[::2], pairs[1::2]):
        text = re.sub(pattern, by, text)
    return text


def show(v):
    return v if isinstance(v, str) else json.dumps(v, indent=1)


def main():
    path, name = sys.argv[1:]
    cli = load()
    env = {"re": re, "shape": shape, "grep": grep, "sub": sub, "P": name}
    for n, line in enumerate(open(path), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        command = line.replace("$P", name)
        only_code = command.startswith("~")
        command = command.lstrip("~ ")
        if command.startswith("!"):
            r = subprocess.run(["timeout", "300", "bash", "-c", command[1:]], capture_output=True, text=True)
            out, err, code = r.stdout, r.stderr, r.returncode
        else:
            command, _, expression = command.partition(" => ")
            sys.stdout.flush()
            deadline = time.monotonic() + 300
            while True:
                out, err, code = ceph(cli, shlex.split(command))
                if code != errno.EAGAIN or time.monotonic() > deadline:
                    break
                time.sleep(0.5)
            if expression:
                try:
                    vars = dict(env, o=out, e=err)
                    if re.search(r"\bj\b", expression):
                        vars["j"] = json.loads(out)
                    out, err = show(eval(expression, vars)), ""
                except Exception as x:
                    err += "%s: %s\n" % (expression, x)
        if only_code:
            out = err = ""
        print(json.dumps({"line": n, "command": line, "out": out, "err": err, "code": code}), flush=True)


main()
