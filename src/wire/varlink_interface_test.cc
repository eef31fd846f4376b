#include "wire/varlink_interface.h"

#include <gtest/gtest.h>

#include "abi/orchestrator_varlink.h"

namespace outlive::wire {
namespace {

constexpr char kText[] = R"(# about
interface org.example.Test
type Item (name: string, size: ?int)   # an item
method Put(items: []Item, flags: [string]bool, kind: (small, large), any: object) -> ()
method Get() -> (item: ?Item, ratio: float)
error Bad (errno: int)
)";

VarlinkInterface interface() {
  return *VarlinkInterface::parse(kText);
}

std::string bad_field(const Status& status) {
  return status ? "" : bad_param_name(status.error());
}

TEST(VarlinkInterface, ReadsOurOwn) {
  const auto ours = VarlinkInterface::parse(abi::kOrchestratorVarlink);
  ASSERT_TRUE(ours) << ours.error().text();
  EXPECT_EQ(ours->name(), abi::kOrchestratorInterface);
  for (const char* method : {"Run", "Update", "Rollback", "Plan", "Status", "ListSessions",
                             "ListFiles", "ListServices", "ListRegions", "ListUpdates", "Timeline",
                             "Log", "Stop", "KhoDump", "Fsck", "Reload", "Metrics"}) {
    EXPECT_TRUE(ours->has_method(method)) << method;
  }
  for (const char* name : {abi::kErrorNotFound, abi::kErrorPermissionDenied, abi::kErrorBusy,
                           abi::kErrorRefused, abi::kErrorFailed}) {
    const std::string_view error = std::string_view(name).substr(ours->name().size() + 1);
    EXPECT_TRUE(ours->check_error(error, {{"errno", 1}, {"message", "m"}})) << name;
  }
}

TEST(VarlinkInterface, RefusesTextThatIsNone) {
  for (const char* text :
       {"", "interface", "interface a.b x", "interface a.b method M", "interface a.b method M()",
        "interface a.b method M() -> (", "interface a.b type T (a: [int)",
        "interface a.b type T (a: Missing)", "interface a.b type T (a: int b: int)"}) {
    EXPECT_FALSE(VarlinkInterface::parse(text)) << text;
  }
}

const Json kCall = Json::parse(
    R"({"items":[{"name":"a","size":1},{"name":"b"}],"flags":{"x":true},"kind":"small","any":[1]})");

TEST(VarlinkInterface, TakesACallThatFits) {
  const Status status = interface().check_call("Put", kCall);
  EXPECT_TRUE(status) << status.error().text();
  EXPECT_TRUE(interface().check_call("Get", Json::object()));
  EXPECT_EQ(interface().methods(), (std::vector<std::string>{"Get", "Put"}));
}

TEST(VarlinkInterface, NamesTheFieldThatDoesNot) {
  const auto with = [](const char* pointer, const Json& value) {
    Json call = kCall;
    call[Json::json_pointer(pointer)] = value;
    return bad_field(interface().check_call("Put", call));
  };
  EXPECT_EQ(with("/items", "x"), "items");
  EXPECT_EQ(with("/items/1/name", 5), "items[1].name");
  EXPECT_EQ(with("/items/0/size", 1.5), "items[0].size");
  EXPECT_EQ(with("/items/0/more", 1), "items[0].more");
  EXPECT_EQ(with("/flags/x", 1), "flags[x]");
  EXPECT_EQ(with("/kind", "medium"), "kind");
  EXPECT_EQ(with("/kind", nullptr), "kind");
  EXPECT_EQ(with("/other", 1), "other");
}

TEST(VarlinkInterface, RepliesMayGrow) {
  EXPECT_TRUE(interface().check_reply("Get", {{"ratio", 1}, {"item", nullptr}, {"later", 1}}));
  EXPECT_EQ(bad_field(interface().check_reply("Get", {{"ratio", "1"}})), "ratio");
}

TEST(VarlinkInterface, UnknownNames) {
  EXPECT_EQ(interface().check_call("Nope", {}).error().code, ENOENT);
  EXPECT_EQ(interface().check_reply("Nope", {}).error().code, ENOENT);
  EXPECT_EQ(interface().check_error("Nope", {}).error().code, ENOENT);
}

}  // namespace
}  // namespace outlive::wire
