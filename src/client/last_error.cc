#include "client/last_error.h"

#include <string>

#include "outlive/outlive.h"

namespace outlive::client {
namespace {
// A function's static: threads that never failed pay nothing, and there is no order of destruction.
std::string& text_of_this_thread() {
  thread_local std::string text;
  return text;
}
}  // namespace

int report(const Error& error) {
  text_of_this_thread() = error.text();
  return -error.code;
}

}  // namespace outlive::client

const char* outlive_error(void) {
  return outlive::client::text_of_this_thread().c_str();
}
