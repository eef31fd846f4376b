// abi-agent SCRIPT [hold|stay]: runs a script (agent.h), and prints "ID.N RESULT" for its lines.
//
// What `keep` has kept lives as long as somebody has it open. At the end the program leaves (it is
// closed); with `hold` it says "done" and waits until its stdin ends; with `stay` it leaves a child
// behind that has all of it, until the machine ends.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <iostream>
#include <sstream>

#include "agent.h"

namespace {

using abi_agent::Words;

Words split(const std::string& line) {
  std::istringstream stream(line.substr(0, line.find('#')));
  Words words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

int run(std::istream& script) {
  abi_agent::Agent agent;
  std::string id = "0";
  int count = 0;
  for (std::string line; std::getline(script, line);) {
    const Words words = split(line);
    if (words.empty()) continue;
    if (words[0] == "seq") {
      id = abi_agent::word(words, 1) + "." + abi_agent::word(words, 2);
      count = 0;
    }
    const std::string result = agent.run(words);
    std::cout << id << "." << count++ << " " << result << "\n";
    if (count == 1) std::cout << std::flush;  // what was said before a sequence that kills us
  }
  std::cout << std::flush;
  return 0;
}

void stay_behind() {
  if (fork() != 0) return;
  close_range(STDIN_FILENO, STDERR_FILENO, 0);
  while (true) pause();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: abi-agent SCRIPT [hold|stay]\n";
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  abi_agent::Agent().run({"room"});
  std::ifstream script(argv[1]);
  if (!script) {
    std::cerr << "abi-agent: can't read " << argv[1] << "\n";
    return 2;
  }
  const int code = run(script);
  const std::string then = argc > 2 ? argv[2] : "";
  if (then == "stay") stay_behind();
  if (then != "hold") return code;
  std::cout << "done" << std::endl;
  char byte;
  while (read(STDIN_FILENO, &byte, 1) > 0) {
  }
  return code;
}
