"""Updates of one service asked for at the same time: all are done, one after the other. Those of
another service go on beside them."""

import json
import threading

from harness import ask, check, equal, free_port, main

AT_ONCE = 3


def test(world):
    world.start_outlived()
    ports = {name: free_port() for name in ("web", "other")}
    for name, port in ports.items():
        world.run_service(name, port)
    results = {name: [] for name in ports}
    threads = [threading.Thread(target=lambda name=name: results[name].append(
        world.outlive("update", name, "--json"))) for name in ports for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for name, port in ports.items():
        for done in results[name]:
            check(done.code == 0, f"{name}: exit {done.code}: {done.out}{done.err}")
        steps = sorted((one["from_generation"], one["to_generation"])
                       for one in (json.loads(done.out) for done in results[name]))
        equal(steps, [(n, n + 1) for n in range(1, AT_ONCE + 1)], f"{name}: its generations")
        service = world.service(name)
        equal((service["updates"], service["rollbacks"]), (AT_ONCE, 0), f"{name}: counted")
        answer = ask(port).split()
        equal(answer, ["1", str(service["pid"])], f"{name}: who answers")
    updates = world.json("list", "updates")["updates"]
    equal(len(updates), 2 * AT_ONCE, "updates in the list")
    check(all(one["result"] == "updated" for one in updates), f"results: {updates}")
    world.expect_clean()
    world.stop_outlived()


main(test)
