// The C API of outlive.h: a successor's look ahead.
#include <algorithm>

#include "client/c_handles.h"
#include "client/last_error.h"
#include "outlive/outlive.h"

using outlive::fail;
using outlive::client::Preview;
using outlive::client::report;

int outlive_preview_open(outlive_client* client, const char* name, outlive_preview** preview) {
  if (name == nullptr || preview == nullptr) {
    return report(fail(EINVAL, "{}: an argument is NULL", __func__));
  }
  auto made = Preview::open(*client->client, name);
  if (!made) return report(made.error());
  *preview = new outlive_preview{client, made.take()};
  return 0;
}

int outlive_preview_refresh(outlive_preview* preview) {
  const auto status = preview->preview->refresh(*preview->client->client);
  return status ? 0 : report(status.error());
}

int outlive_preview_retrieve(outlive_preview* preview, outlive_session** session) {
  auto made = preview->preview->retrieve(*preview->client->client);
  if (!made) return report(made.error());
  *session = new outlive_session{made.take()};
  return 0;
}

size_t outlive_preview_added(outlive_preview* preview, uint64_t* tokens, int* fds, size_t room) {
  auto files = preview->preview->take_added(room);
  for (size_t i = 0; i < files.size(); ++i) {
    tokens[i] = files[i].token;
    fds[i] = files[i].fd.release();
  }
  return files.size();
}

size_t outlive_preview_gone(outlive_preview* preview, uint64_t* tokens, size_t room) {
  const auto gone = preview->preview->take_gone(room);
  std::ranges::copy(gone, tokens);
  return gone.size();
}

void outlive_preview_close(outlive_preview* preview) {
  delete preview;
}
