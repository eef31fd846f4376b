/* What only C can do to the filter: signals in the middle, threads, vfork, the 32-bit table, raw
 * calls. probe WHAT; exit 0 and no output: as the kernel has it. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define CREATE_SESSION _IO(0xBA, 0x00)
#define PRESERVE_FD _IO(0xBA, 0x40)
#define MANY 300

struct session_request {
  uint32_t size;
  int32_t fd;
  char name[64];
};
struct fd_request {
  uint32_t size;
  int32_t fd;
  uint64_t token;
};

#define MUST(what)                                                                    \
  do {                                                                                \
    if (!(what)) {                                                                    \
      fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #what, strerror(errno)); \
      exit(1);                                                                        \
    }                                                                                 \
  } while (0)

static int open_device(void) {
  int fd = open("/dev/liveupdate", O_RDWR | O_CLOEXEC);
  MUST(fd >= 0);
  return fd;
}

static int create(int device, const char* name) {
  struct session_request request = {.size = sizeof request};
  snprintf(request.name, sizeof request.name, "%s", name);
  if (ioctl(device, CREATE_SESSION, &request) != 0) return -1;
  return request.fd;
}

static int preserve(int session, int fd, uint64_t token) {
  struct fd_request request = {sizeof request, fd, token};
  return ioctl(session, PRESERVE_FD, &request);
}

static volatile sig_atomic_t signals;
static void count(int number) {
  (void)number;
  ++signals;
}

/* Signals all the time, in the middle of requests. Each one happens once: a repeated CREATE would
 * be EEXIST, a repeated PRESERVE too. With SA_RESTART, as Go's runtime preempts, nobody sees a
 * thing; without it a request may be EINTR that nobody had looked at yet, and then nothing has
 * happened. */
static int with_signals(int flags) {
  struct sigaction action = {.sa_handler = count, .sa_flags = flags};
  MUST(sigaction(SIGALRM, &action, NULL) == 0);
  const int device = open_device();
  const struct itimerval often = {{0, 50}, {0, 50}};
  MUST(setitimer(ITIMER_REAL, &often, NULL) == 0);
  for (int i = 0; i < MANY; ++i) {
    char name[32];
    int session, done;
    snprintf(name, sizeof name, "signal-%d", i);
    do {
      session = create(device, name);
    } while (session == -1 && errno == EINTR && flags == 0);
    MUST(session >= 0);
    const int memory = memfd_create("m", 0);
    do {
      done = preserve(session, memory, 1);
    } while (done == -1 && errno == EINTR && flags == 0);
    MUST(done == 0);
    MUST(close(session) == 0);
    MUST(close(memory) == 0);
  }
  const struct itimerval never = {{0, 0}, {0, 0}};
  MUST(setitimer(ITIMER_REAL, &never, NULL) == 0);
  MUST(signals > 10);
  return 0;
}

static int run_signals(void) {
  return with_signals(SA_RESTART);
}
static int run_interrupts(void) {
  return with_signals(0);
}

struct thread {
  int device;
  int number;
};
static void* in_thread(void* data) {
  const struct thread* self = data;
  for (int i = 0; i < 40; ++i) {
    char name[32];
    snprintf(name, sizeof name, "thread-%d-%d", self->number, i);
    const int session = create(self->device, name);
    MUST(session >= 0);
    const int memory = memfd_create("m", 0);
    MUST(preserve(session, memory, 1) == 0);
    MUST(preserve(session, memory, 2) == -1 && errno == EBUSY);
    MUST(close(session) == 0);
    MUST(close(memory) == 0);
  }
  return NULL;
}

static int run_threads(void) {
  pthread_t threads[6];
  struct thread work[6];
  const int device = open_device();
  for (int i = 0; i < 6; ++i) {
    work[i] = (struct thread){device, i};
    MUST(pthread_create(&threads[i], NULL, in_thread, &work[i]) == 0);
  }
  for (int i = 0; i < 6; ++i) MUST(pthread_join(threads[i], NULL) == 0);
  return 0;
}

/* The first thread ends, others go on: the group's leader is a zombie then. */
static void* outlives_main(void* data) {
  const int device = *(int*)data;
  char stat[128];
  do { /* until the leader is one */
    const int fd = open("/proc/self/stat", O_RDONLY);
    const ssize_t got = read(fd, stat, sizeof stat - 1);
    stat[got > 0 ? got : 0] = 0;
    close(fd);
  } while (strstr(stat, ") Z ") == NULL);
  const int session = create(device, "late");
  MUST(session >= 0);
  const int memory = memfd_create("m", 0);
  MUST(preserve(session, memory, 1) == 0);
  exit(0);
}

static int run_leader(void) {
  static int device;
  pthread_t thread;
  device = open_device();
  MUST(pthread_create(&thread, NULL, outlives_main, &device) == 0);
  pthread_exit(NULL);
}

static int run_vfork(void) {
  const int device = open_device();
  volatile int session = -1;
  const pid_t child = vfork();
  if (child == 0) {
    session = create(device, "of a vfork child");
    _exit(0);
  }
  MUST(waitpid(child, NULL, 0) == child);
  MUST(session >= 0);
  /* Its copy was the only one: closed with it. */
  MUST(create(device, "of a vfork child") >= 0);
  return 0;
}

/* Results that can't be written: EFAULT, no descriptor, no session. */
static int run_efault(void) {
  const int device = open_device();
  struct session_request* request =
      mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  MUST(request != MAP_FAILED);
  request->size = sizeof *request;
  strcpy(request->name, "read-only");
  MUST(mprotect(request, 4096, PROT_READ) == 0);
  const int next = dup(0);
  close(next);
  MUST(ioctl(device, CREATE_SESSION, request) == -1 && errno == EFAULT);
  const int still = dup(0);
  MUST(still == next);
  close(still);
  MUST(mprotect(request, 4096, PROT_READ | PROT_WRITE) == 0);
  MUST(ioctl(device, CREATE_SESSION, request) == 0);
  MUST(request->fd == next);
  MUST(fcntl(request->fd, F_GETFD) == FD_CLOEXEC);
  return 0;
}

static int run_int80(void) {
#ifdef __x86_64__
  long result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory"); /* getpid */
  fprintf(stderr, "int 0x80 answered %ld\n", result);
#endif
  return 1;
}

static int run_x32(void) {
  MUST(syscall(0x40000000 | SYS_getpid) == -1 && errno == ENOSYS);
  return 0;
}

static const struct {
  const char* name;
  int (*run)(void);
} all[] = {{"signals", run_signals}, {"interrupts", run_interrupts},
           {"threads", run_threads}, {"leader", run_leader},
           {"vfork", run_vfork},     {"efault", run_efault},
           {"int80", run_int80},     {"x32", run_x32}};

int main(int argc, char** argv) {
  for (size_t i = 0; i < sizeof all / sizeof *all; ++i) {
    if (argc == 2 && strcmp(argv[1], all[i].name) == 0) return all[i].run();
  }
  fprintf(stderr, "usage: %s WHAT\n", argv[0]);
  return 2;
}
