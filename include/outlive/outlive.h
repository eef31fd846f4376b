/* outlive.h: the client API in C99. SONAME liboutlive.so.0; only outlive_* is exported.
 *
 * A service that wants to outlive its own replacement:
 *
 *   outlive_connect()            find outlived
 *   outlive_participate()        say "I take part"; learn the role: fresh, restarted, successor
 *   fresh:      create a session, create memory in it, preserve the listener, outlive_ready()
 *   restarted:  the callbacks adopt and committed run inside outlive_participate()
 *   successor:  slow start-up, outlive_ready(); later the callbacks adopt and committed run
 *   poll outlive_fd() with your other fds; when it is readable call outlive_dispatch()
 *
 * Conventions: every function returns 0 (or a count, or a pointer) or -errno (NULL); then
 * outlive_error() has one line that names the thing and the remedy. No threads are made. A handle
 * is used by one thread at a time; during an update the thread that dispatches asks the scheduler
 * for short time slices (Linux 6.12), and has its own again after it. Fds that are handed out are
 * the caller's to close, and CLOEXEC. Names are UTF-8, 1 to 63 bytes. Times are CLOCK_MONOTONIC
 * nanoseconds.
 */
#ifndef OUTLIVE_OUTLIVE_H
#define OUTLIVE_OUTLIVE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define OUTLIVE_API __attribute__((visibility("default")))

typedef struct outlive_client outlive_client;
typedef struct outlive_session outlive_session;
typedef struct outlive_memory outlive_memory;
typedef struct outlive_preview outlive_preview;

/* The text of this thread's last error; never NULL. Valid until the next call of this thread. */
OUTLIVE_API const char* outlive_error(void);
OUTLIVE_API const char* outlive_version(void);

/* ---- connection ------------------------------------------------------------------------------ */

#define OUTLIVE_OPTIONAL \
  1u /* no outlived: 0 and *client = NULL; refused inheritance stays an error */

/* Connects to the device socket: $OUTLIVE_RUNTIME_DIR, else the default places ("runtime_dir"
 * NULL), or that folder. ENOENT: not running (the text lists the paths tried). ESTALE: outlived is
 * up but refused what it inherited (the text has the reason): an error also with OUTLIVE_OPTIONAL.
 */
OUTLIVE_API int outlive_connect(const char* runtime_dir, unsigned flags, outlive_client** client);
/* Closes the connection; open sessions of it live on until they are closed. NULL is allowed. */
OUTLIVE_API void outlive_disconnect(outlive_client* client);
/* The fd to poll for reading. It stays the client's. */
OUTLIVE_API int outlive_fd(const outlive_client* client);
/* Runs the callbacks of what has arrived, without blocking. Returns how many events it handled.
 * -ECONNRESET: outlived closed the connection. */
OUTLIVE_API int outlive_dispatch(outlive_client* client);

/* ---- taking part in updates ------------------------------------------------------------------ */

enum outlive_role {
  OUTLIVE_ROLE_NONE = 0,      /* not started by outlived: sessions work, updates don't */
  OUTLIVE_ROLE_FRESH = 1,     /* nothing to adopt */
  OUTLIVE_ROLE_RESTARTED = 2, /* the one before died: its sessions can be retrieved now */
  OUTLIVE_ROLE_SUCCESSOR = 3  /* an update: wait for adopt */
};

struct outlive_event {
  uint64_t update;      /* correlation id; 0 for a restart */
  uint64_t deadline_ns; /* 0: none */
  const char* reason;   /* of a cancel; else "" */
  uint32_t flags;
};
/* Of an update of the kernel (`outlive kexec`), which preserves your memory files itself: from
 * before prepare until cancel they can't grow, shrink or have holes punched (EPERM). A region of
 * this library (outlive_memory_*) says EBUSY instead, with the reason. */
#define OUTLIVE_EVENT_KERNEL 1u

/* A callback returns 0, or -errno: then the update is cancelled, with the reason that it gave to
 * outlive_set_reason() (or the errno's name). NULL callbacks answer 0 at once. */
struct outlive_participant {
  uint32_t size;                 /* sizeof(struct outlive_participant) */
  uint32_t state_version;        /* of the state that this version writes; 0: not versioned */
  uint32_t oldest_state_version; /* oldest that it can read */
  void* context;                 /* handed to every callback */
  /* the old one */
  int (*prepare)(void* context, const struct outlive_event* event); /* light; still serving */
  int (*freeze)(void* context,
                const struct outlive_event* event); /* stop; note what is half done */
  void (*cancel)(void* context, const struct outlive_event* event); /* serve again */
  void (*retire)(void* context, const struct outlive_event* event); /* leave soon */
  /* the new one */
  int (*preview)(void* context, const struct outlive_event* event);    /* refresh your look ahead */
  int (*adopt)(void* context, const struct outlive_event* event);      /* retrieve; don't write */
  void (*committed)(void* context, const struct outlive_event* event); /* it is yours: serve */
};

/* Registers and returns the role (enum outlive_role), or -errno. The structure is copied. For a
 * restarted one adopt and committed have run when this returns (an error of adopt is returned). */
OUTLIVE_API int outlive_participate(outlive_client* client, const struct outlive_participant* p);
/* "I serve" (fresh, restarted), "I am ready to adopt" (successor, before adopt). */
OUTLIVE_API int outlive_ready(outlive_client* client);
/* After committed: every incoming session becomes an outgoing one in one step, and the update is
 * over. Without this call nothing is lost either, but the next update waits for it. */
OUTLIVE_API int outlive_adopt_all(outlive_client* client);
/* Instead: every incoming session is finished, its files are no longer preserved. */
OUTLIVE_API int outlive_finish_all(outlive_client* client);
/* The reason for the veto that this callback is about to return (at most 127 bytes, copied). */
OUTLIVE_API void outlive_set_reason(outlive_client* client, const char* reason);

/* ---- sessions -------------------------------------------------------------------------------- */

#define OUTLIVE_LINGER                                                       \
  1u /* the session stays when its holder dies, for the next one to retrieve \
      */

#define OUTLIVE_DIRECT                                                                        \
  2u /* its files are preserved by the kernel, in a session of the kernel's own: see          \
      * outlive_kernel_session(). EOPNOTSUPP: outlived has no /dev/liveupdate. OUTLIVE_LINGER \
      * means nothing to it */

/* EEXIST: an outgoing session of that name is there. EDQUOT: quota. */
OUTLIVE_API int outlive_session_create(outlive_client* client, const char* name, unsigned flags,
                                       outlive_session** session);
/* Claims an incoming one. ENOENT: no such; EINVAL: already claimed; EAGAIN: not offered yet. */
OUTLIVE_API int outlive_session_retrieve(outlive_client* client, const char* name,
                                         outlive_session** session);
/* From a session fd that came another way (fork, SCM_RIGHTS). Takes the fd. */
OUTLIVE_API int outlive_session_from_fd(int fd, outlive_session** session);
/* Of a direct session, once: an fd of the kernel's session, for the ioctls of <linux/liveupdate.h>
 * (files that only the kernel can preserve: vfio, iommufd, kvm). Nobody else has a copy: closing it
 * gives up what it preserves, or finishes what came through a kexec. Keep `session` open as long:
 * it is what names it to the next kernel, where outlive_session_retrieve() and this fetch the
 * incoming one. EINVAL: it is not direct, or was handed over already; ENOENT: it came through no
 * kexec. */
OUTLIVE_API int outlive_kernel_session(outlive_session* session);
/* Ends it: an outgoing session's files are unpreserved. NULL is allowed. */
OUTLIVE_API void outlive_session_close(outlive_session* session);
/* Frees the handle and keeps the fd open, which is returned (to be passed on). */
OUTLIVE_API int outlive_session_detach(outlive_session* session);

/* A copy of the fd is kept under `token` (EEXIST: used already; EBUSY: this file is preserved
 * already, or an update is past freeze; ENOENT: no handler takes it). */
OUTLIVE_API int outlive_preserve(outlive_session* session, uint64_t token, int fd);
OUTLIVE_API int outlive_unpreserve(outlive_session* session, uint64_t token);
/* A new fd of the same open file. ENOENT: no such token. */
OUTLIVE_API int outlive_retrieve(outlive_session* session, uint64_t token);
/* All or none of `count` (any number; sent in parts of 253: "all or none" holds for each part).
 * On an error *done (NULL: not wanted) has how many were done. retrieve: fds[i] is of tokens[i]. */
OUTLIVE_API int outlive_preserve_many(outlive_session* session, const uint64_t* tokens,
                                      const int* fds, size_t count, size_t* done);
OUTLIVE_API int outlive_unpreserve_many(outlive_session* session, const uint64_t* tokens,
                                        size_t count, size_t* done);
OUTLIVE_API int outlive_retrieve_many(outlive_session* session, const uint64_t* tokens, int* fds,
                                      size_t count, size_t* done);
/* The tokens in recorded order, at most `room` of them; returns how many there are in all. */
OUTLIVE_API long outlive_tokens(outlive_session* session, uint64_t* tokens, size_t room);
/* Incoming: done with it, its files are no longer preserved (the fds that you hold stay yours). */
OUTLIVE_API int outlive_finish(outlive_session* session);
/* Incoming: it becomes outgoing as it is, with no moment in which nothing is preserved. */
OUTLIVE_API int outlive_adopt(outlive_session* session);

/* ---- a look ahead: a successor fetches descriptors before the blackout --------------------------
 *
 *   start-up   outlive_preview_open(), outlive_preview_added(): all that is preserved now. Put
 *              connections into the epoll that you will wait on, preview memory.
 *   preview    (the callback: the old one has answered prepare, and preserved what was new)
 *              outlive_preview_refresh(), outlive_preview_gone(), outlive_preview_added()
 *   adopt      outlive_preview_retrieve(): claims the session. Then outlive_preview_added() and
 *              outlive_preview_gone() have what changed since, which is mostly nothing.
 *
 * The old one serves with the same open files until `committed`: don't read, write, accept, seek,
 * shut down, or change options or flags, and don't wait on that epoll. While you hold a connection,
 * its end reaches the peer only by shutdown(): what the old one just closes stays open until then.
 */

/* The successor, until `committed` (EINVAL for others). ENOENT: no such session. Use it before
 * outlive_disconnect() of its client, and close it after. */
OUTLIVE_API int outlive_preview_open(outlive_client* client, const char* session,
                                     outlive_preview** preview);
/* Brings it up to date, outside of a blackout. What came needs free descriptors before what went is
 * yours to close: EMFILE (the update is cancelled) is a matter of RLIMIT_NOFILE. */
OUTLIVE_API int outlive_preview_refresh(outlive_preview* preview);
/* In adopt: outlive_session_retrieve() and the last refresh, in one round trip. On an error nothing
 * has changed. */
OUTLIVE_API int outlive_preview_retrieve(outlive_preview* preview, outlive_session** session);
/* Hands out at most `room` files that came since they were last asked for, in recorded order;
 * fds[i] is of tokens[i] and yours. Returns how many; less than `room`: that was all. */
OUTLIVE_API size_t outlive_preview_added(outlive_preview* preview, uint64_t* tokens, int* fds,
                                         size_t room);
/* The same for those that were handed out and are not preserved any more: close your copy. A token
 * may be gone and added at once: it is another file now. */
OUTLIVE_API size_t outlive_preview_gone(outlive_preview* preview, uint64_t* tokens, size_t room);
/* Closes what was not handed out. NULL is allowed. */
OUTLIVE_API void outlive_preview_close(outlive_preview* preview);

/* ---- notes to the next one (a uid's own small named blobs, at most 16 KiB each) ----------------
 */
OUTLIVE_API int outlive_note_write(outlive_client* client, const char* name, const void* bytes,
                                   size_t size);
/* Returns the size of the note; copies at most `room` bytes of it. ENOENT. */
OUTLIVE_API long outlive_note_read(outlive_client* client, const char* name, void* into,
                                   size_t room);
OUTLIVE_API int outlive_note_remove(outlive_client* client, const char* name);

/* ---- memory: a named region that the next version finds in place, without a copy ---------------
 */

/* An offset into a region; 0 is "none". Offsets stay valid over updates, pointers don't. */
typedef uint64_t outlive_offset;

/* Makes a region of `name`, preserved in the session under `token`. It starts with `size` bytes
 * and grows by itself up to `limit` (0: 64 GiB). ENOMEM, ENOSPC. */
OUTLIVE_API int outlive_memory_create(outlive_session* session, uint64_t token, const char* name,
                                      uint64_t size, uint64_t limit, outlive_memory** memory);
/* The successor, before adopt, of a previewed descriptor (which is taken): maps the region
 * read-only while the old one serves, and makes and populates the writable mapping that is used
 * from `committed` on. Don't read it before adopt: the old one is writing. It is the session's as
 * long as outlive_preview_gone() doesn't name its token. */
OUTLIVE_API int outlive_memory_preview(outlive_client* client, int fd, outlive_memory** memory);
/* From the retrieved session: maps it (or checks that a previewed one is the same file).
 * *memory in: NULL or previewed; out: the region. Read-only until outlive_memory_writable(). */
OUTLIVE_API int outlive_memory_open(outlive_session* session, uint64_t token,
                                    outlive_memory** memory);
/* From `committed` on (EPERM before): writes are allowed now. Stale pointers into the read-only
 * view keep reading the same bytes. */
OUTLIVE_API int outlive_memory_writable(outlive_memory* memory);
/* Over any memfd, no outlived needed (tests, tools). Takes the fd. create: 1 formats it. */
OUTLIVE_API int outlive_memory_from_fd(int fd, const char* name, uint64_t size, uint64_t limit,
                                       int create, outlive_memory** memory);
/* Unmaps; the region itself stays preserved. NULL is allowed. */
OUTLIVE_API void outlive_memory_close(outlive_memory* memory);
OUTLIVE_API const char* outlive_memory_name(const outlive_memory* memory);
OUTLIVE_API int outlive_memory_fd(const outlive_memory* memory); /* stays the region's */

/* Base of the mapping: read-only before outlive_memory_writable(), writable after. */
OUTLIVE_API void* outlive_memory_base(const outlive_memory* memory);
OUTLIVE_API uint64_t outlive_memory_size(const outlive_memory* memory);
/* 0 when it can't grow (errno text in outlive_error()). 16-aligned; contents are not cleared. */
OUTLIVE_API outlive_offset outlive_memory_allocate(outlive_memory* memory, uint64_t bytes);
/* `offset` came from allocate of this region; 0 is allowed. A bad offset is -EINVAL. */
OUTLIVE_API int outlive_memory_free(outlive_memory* memory, outlive_offset offset);
OUTLIVE_API uint64_t outlive_memory_usable(const outlive_memory* memory, outlive_offset offset);
/* The root: where the service's own structure starts. One store. */
OUTLIVE_API outlive_offset outlive_memory_root(const outlive_memory* memory);
OUTLIVE_API void outlive_memory_set_root(outlive_memory* memory, outlive_offset root);
/* The epoch: enter makes it odd (inside a change), leave even again. They nest. A region that is
 * found odd was left in the middle of a change: consistent() says 0, and the service decides. */
OUTLIVE_API void outlive_memory_enter(outlive_memory* memory);
OUTLIVE_API void outlive_memory_leave(outlive_memory* memory);
OUTLIVE_API int outlive_memory_consistent(const outlive_memory* memory);
/* Marks it consistent after the service's own repair. */
OUTLIVE_API void outlive_memory_repaired(outlive_memory* memory);

struct outlive_memory_stats {
  uint64_t size;      /* bytes of the file */
  uint64_t allocated; /* bytes handed out */
  uint64_t blocks;    /* handed out */
  uint64_t epoch;
};
OUTLIVE_API void outlive_memory_stat(const outlive_memory* memory,
                                     struct outlive_memory_stats* stats);
/* Walks all of its structure: 0, or -EUCLEAN with what is wrong in outlive_error(). */
OUTLIVE_API int outlive_memory_check(const outlive_memory* memory);

/* ---- versioned state ------------------------------------------------------------------------- */

struct outlive_state_format {
  const char* compatible; /* the service's name for its format, at most 47 bytes */
  uint32_t version;       /* that this program writes */
  uint32_t oldest_reader; /* oldest program version that can read what it writes */
  uint64_t layout_hash;   /* 0: not used */
};
#define OUTLIVE_STATE_HEADER_SIZE 80u
/* Writes the header for `size` bytes at `bytes` into `header` (OUTLIVE_STATE_HEADER_SIZE bytes). */
OUTLIVE_API int outlive_state_seal(const struct outlive_state_format* format, const void* bytes,
                                   uint32_t size, void* header);
/* Checks header and bytes: returns the version that wrote it, or -EPROTO (another format; both
 * versions named in outlive_error()), -EUCLEAN (CRC). `oldest_readable` is the reader's own limit.
 */
OUTLIVE_API long outlive_state_check(const struct outlive_state_format* format,
                                     uint32_t oldest_readable, const void* header,
                                     const void* bytes, uint32_t size);

#ifdef __cplusplus
}
#endif
#endif
