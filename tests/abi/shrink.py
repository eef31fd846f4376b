"""Makes a failing sequence as short as it can be and still fail."""

from compare import compare


def fails(sequences, one, other, exceptions=None):
    """Which of them still differ; both sides run them as one batch."""
    said, says = one.run(sequences), other.run(sequences)
    return {difference.index: difference for difference in compare(sequences, said, says, exceptions).differences}


def places(sequence):
    return [(phase, at) for phase, (_, requests) in enumerate(sequence.phases) for at in range(len(requests))]


def candidates(sequence):
    """With a piece left out: halves, quarters, ... single requests."""
    spots = places(sequence)
    size = len(spots) // 2
    while size >= 1:
        for begin in range(0, len(spots), size):
            yield sequence.without(set(spots[begin:begin + size]))
        size //= 2


def shrink(sequence, one, other, exceptions=None, rounds=12):
    """The shortest found, and its difference. A round is one batch of all candidates."""
    best, difference = sequence, fails([sequence], one, other, exceptions).get(0)
    if difference is None:
        return sequence, None
    for _ in range(rounds):
        tries = [c for c in candidates(best) if c.requests() < best.requests()]
        if not tries:
            break
        failing = fails(tries, one, other, exceptions)
        if not failing:
            break
        shortest = min(failing, key=lambda index: tries[index].requests())
        best, difference = tries[shortest], failing[shortest]
    return best, difference
