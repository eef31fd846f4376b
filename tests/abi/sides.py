"""The two that are compared: each runs a batch of sequences and gives what the agent said.

    side.run(sequences) -> {(index, kernel, n): text}     line n of a phase; 0 is "seq"

One batch is one machine, or one device: phase 1 of all of them, a kexec, phase 2 of all of them, and so on.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "kernel"))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))
from harness import Failed  # noqa: E402

KERNELS = 3
PATIENCE = 900.0  # for the part of a batch that one kernel runs
LINE = re.compile(r"([0-9]+)\.([0-9]+)\.([0-9]+) (.*)")


def script(sequences, kernel):
    lines = [line for number, sequence in enumerate(sequences) for line in sequence.lines(kernel, number)]
    return "\n".join(lines) + "\n"


def parse(text):
    said = {}
    for line in text.splitlines():
        match = LINE.fullmatch(line)
        if match:
            said[tuple(int(part) for part in match.groups()[:3])] = match[4]
    return said


def first_to_go():
    """Should the machine run out of memory under a test, it is ours that is killed, and nobody else's."""
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")


def last_kernel(sequences):
    return max((kernel for sequence in sequences for kernel, _ in sequence.phases), default=1)


class RealKernel:
    """In QEMU; `kernel` is the folder that build-kernel.sh prints."""
    name = "kernel"

    def __init__(self, kernel, bin_dir):
        self.kernel, self.bin = kernel, bin_dir

    def run(self, sequences):
        from machine import Machine
        said = {}
        with tempfile.TemporaryDirectory(prefix="outlive-kernel-") as folder:
            machine = Machine(self.kernel, folder, self.bin, life=KERNELS * PATIENCE)
            try:
                machine.boot()
                machine.offer(machine.program("abi-agent"))
                for kernel in range(1, last_kernel(sequences) + 1):
                    if kernel > 1:
                        machine.kexec(timeout=PATIENCE)
                    self.write(machine, script(sequences, kernel))
                    said.update(parse(machine.must("abi-agent", "/host/script", "stay", timeout=PATIENCE)))
                machine.power_off()
            except Failed as error:
                end = "\n".join(machine.console_text().splitlines()[-40:])
                raise Failed(f"{error}\n--- the console's end ---\n{end}") from None
            finally:
                machine.close()
        return said

    @staticmethod
    def write(machine, text):
        with open(os.path.join(machine.host, "script"), "w") as file:
            file.write(text)


class Compat:
    """Under `outlive compat`, with a device that lives through the batch."""
    name = "compat"

    def __init__(self, bin_dir, *options):
        self.bin, self.options = os.path.abspath(bin_dir), options

    def outlive(self, environment, *words):
        done = subprocess.run([f"{self.bin}/outlive", "compat", "--device", "abi", *words], env=environment,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE,
                              preexec_fn=first_to_go)
        if done.returncode != 0:
            raise Failed(f"outlive compat {' '.join(words)}: exit {done.returncode}: {done.stderr}")

    def run(self, sequences):
        # In memory also for the agent: it wants a folder of a tmpfs.
        with tempfile.TemporaryDirectory(prefix="oa", dir="/dev/shm") as folder:
            environment = dict(os.environ, OUTLIVE_RUNTIME_DIR=f"{folder}/run", ABI_AGENT_TMPFS=folder)
            os.mkdir(f"{folder}/run", 0o700)
            # Where the agent's own program may be read, whoever runs this.
            shutil.copy(f"{self.bin}/abi-agent", folder)
            said = {}
            try:
                for kernel in range(1, last_kernel(sequences) + 1):
                    said.update(self.phase(environment, folder, script(sequences, kernel)))
            finally:
                subprocess.run([f"{self.bin}/outlive", "compat", "--device", "abi", "--stop"], env=environment,
                               stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        return said

    def phase(self, environment, folder, text):
        """Runs it, and reboots while what it has kept is open. What the agent said."""
        path = f"{folder}/script"
        with open(path, "w") as file:
            file.write(text)
        agent = subprocess.Popen([f"{self.bin}/outlive", "compat", "--device", "abi", *self.options, "--",
                                  f"{folder}/abi-agent", path, "hold"],
                                 env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True, preexec_fn=first_to_go)
        try:
            lines = []
            for line in agent.stdout:
                if line == "done\n":
                    break
                lines.append(line)
            else:
                raise Failed(f"the agent ended early: exit {agent.wait(60)}, {agent.stderr.read()}")
            self.outlive(environment, "--reboot")
            agent.communicate("", timeout=60)
            return parse("".join(lines))
        finally:
            if agent.poll() is None:
                agent.kill()
                agent.wait()
