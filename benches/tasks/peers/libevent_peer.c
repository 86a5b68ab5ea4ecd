// libevent; see ../README.md for what each sub-command does.
//   libevent_peer timers|posts [SCALE]
//   libevent_peer echo PORT
//   libevent_peer quiet-job cooperate|cooperate-active|offload PORT CONTROL
#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <event2/thread.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MILLION = 1000000, FIRES = 200000, THREADS = 4, RESETS_A_TURN = 1000, REPEATS_MAX = 40 };
static const double SLICE_S = 50e-6, JOB_S = 1.0, PHASE_S = 0.5;
static const size_t HIGH = 1 << 20, LOW = 1 << 18;

static struct event_base *base;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void check(int whole, const char *what) {
  if (whole) return;
  fprintf(stderr, "wrong result: %s\n", what);
  exit(1);
}

static void report(const char *row, double n, double seconds) {
  printf("{\"row\": \"%s\", \"n\": %.0f, \"seconds\": %.9f}\n", row, n, seconds);
  fflush(stdout);
}

static struct timeval of_ms(uint32_t ms) { return (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000}; }

// The same fixed sequence in every peer: neither sorted nor random.
static uint32_t scrambled(uint32_t i) { return (i * 2654435761u) >> 8; }

static void never(evutil_socket_t fd, short what, void *x) {
  (void)fd, (void)what, (void)x;
  check(0, "a cancelled timer fired");
}

static void set_and_cancel(int n, double scale) {
  struct event **timers = calloc(n, sizeof *timers);
  double set = 0, cancelled = 0, count = 0;
  for (int round = 0; round < 2 || ((set < PHASE_S * scale || cancelled < PHASE_S * scale) && round <= REPEATS_MAX);
       round++) {
    if (round == 1) set = cancelled = count = 0; // the first round is the warm-up
    double began = now();
    for (int i = 0; i < n; i++) {
      struct timeval after = of_ms(60000 + scrambled(i) % 600000);
      timers[i] = evtimer_new(base, never, NULL);
      evtimer_add(timers[i], &after);
    }
    event_base_loop(base, EVLOOP_NONBLOCK);
    set += now() - began;
    began = now();
    for (int i = 0; i < n; i++) event_free(timers[i]);
    event_base_loop(base, EVLOOP_NONBLOCK);
    cancelled += now() - began;
    count += n;
  }
  report("set", count, set);
  report("cancel", count, cancelled);
  free(timers);
}

static struct event **timers;
static unsigned char *fired;
static int left;

static void on_time(evutil_socket_t fd, short what, void *x) {
  (void)fd, (void)what;
  fired[(intptr_t)x]++;
  event_free(timers[(intptr_t)x]);
  left--;
}

static void fire(int n, double scale) {
  timers = calloc(n, sizeof *timers);
  double took = 0, count = 0;
  fired = malloc(n);
  for (int round = 0; round < 2 || (took < PHASE_S * scale && round <= REPEATS_MAX); round++) {
    if (round == 1) took = count = 0;
    memset(fired, 0, n);
    left = n;
    for (int i = 0; i < n; i++) {
      struct timeval after = of_ms(1 + scrambled(i) % 50);
      timers[i] = evtimer_new(base, on_time, (void *)(intptr_t)i);
      evtimer_add(timers[i], &after);
    }
    // All are due when the loop goes on, so that what is timed is firing and not waiting.
    usleep(60000);
    double began = now();
    while (left > 0) event_base_loop(base, EVLOOP_ONCE);
    took += now() - began;
    count += n;
    usleep(2000);
    event_base_loop(base, EVLOOP_NONBLOCK);
    for (int i = 0; i < n; i++) check(fired[i] == 1, "each timer fires once");
  }
  report("fire", count, took);
  free(fired);
  free(timers);
}

static void reset(int n, double scale) {
  struct timeval minute = of_ms(60000);
  struct event *timer = evtimer_new(base, never, NULL);
  evtimer_add(timer, &minute);
  double took = 0, count = 0;
  for (int round = 0; round < 2 || (took < PHASE_S * scale && round <= REPEATS_MAX); round++) {
    if (round == 1) took = count = 0;
    double began = now();
    for (int i = 0; i < n / RESETS_A_TURN; i++) {
      for (int k = 0; k < RESETS_A_TURN; k++) evtimer_add(timer, &minute);
      event_base_loop(base, EVLOOP_NONBLOCK);
    }
    took += now() - began;
    count += n / RESETS_A_TURN * RESETS_A_TURN;
  }
  report("reset", count, took);
  event_free(timer);
}

// A queue beside an event that wakes the loop: what a program with libevent writes to run a callback on its loop.
struct post { struct post *next; void (*call)(int); int thread; };
static struct post *first, **last = &first;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t go;
static struct event *wake;
static long counts[THREADS], total;
static int each, once;

static void count_post(int thread) {
  counts[thread]++;
  total++;
}

static void on_wake(evutil_socket_t fd, short what, void *x) {
  (void)fd, (void)what, (void)x;
  pthread_mutex_lock(&lock);
  struct post *p = first;
  first = NULL;
  last = &first;
  pthread_mutex_unlock(&lock);
  while (p) {
    struct post *done = p;
    p->call(p->thread);
    p = p->next;
    free(done);
  }
}

static void on_once(evutil_socket_t fd, short what, void *x) {
  (void)fd, (void)what;
  count_post((intptr_t)x);
}

static void *poster(void *x) {
  int thread = (intptr_t)x;
  pthread_barrier_wait(&go);
  for (int i = 0; i < each; i++) {
    if (once) {
      event_base_once(base, -1, EV_TIMEOUT, on_once, x, NULL);
      continue;
    }
    struct post *p = malloc(sizeof *p);
    *p = (struct post){.call = count_post, .thread = thread};
    pthread_mutex_lock(&lock);
    int was_empty = !first;
    *last = p;
    last = &p->next;
    pthread_mutex_unlock(&lock);
    if (was_empty) event_active(wake, EV_READ, 0);
  }
  return NULL;
}

static void posts(const char *row, double scale) {
  double took = 0, count = 0;
  each = MILLION * scale / THREADS;
  for (int round = 0; round < 2 || (took < PHASE_S * scale && round <= REPEATS_MAX); round++) {
    if (round == 1) took = count = 0;
    pthread_t threads[THREADS];
    memset(counts, 0, sizeof counts);
    total = 0;
    pthread_barrier_init(&go, NULL, THREADS + 1);
    for (intptr_t i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, poster, (void *)i);
    double began = now();
    pthread_barrier_wait(&go);
    while (total < (long)each * THREADS) event_base_loop(base, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY);
    took += now() - began;
    count += (double)each * THREADS;
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    event_base_loop(base, EVLOOP_NONBLOCK);
    for (int i = 0; i < THREADS; i++) check(counts[i] == each, "each post is counted");
    pthread_barrier_destroy(&go);
  }
  report(row, count, took);
}

static void on_read(struct bufferevent *b, void *x) {
  (void)x;
  bufferevent_write_buffer(b, bufferevent_get_input(b));
  // A peer that does not read is not read from.
  if (evbuffer_get_length(bufferevent_get_output(b)) > HIGH) bufferevent_disable(b, EV_READ);
}
static void on_written(struct bufferevent *b, void *x) {
  (void)x;
  if (!(bufferevent_get_enabled(b) & EV_READ)) bufferevent_enable(b, EV_READ);
}
static void on_event(struct bufferevent *b, short what, void *x) {
  (void)x;
  if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) bufferevent_free(b);
}
static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *a, int n, void *x) {
  (void)l, (void)a, (void)n, (void)x;
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  struct bufferevent *b = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
  bufferevent_set_max_single_read(b, 65536);
  bufferevent_set_max_single_write(b, 65536);
  bufferevent_setwatermark(b, EV_WRITE, LOW, 0);
  bufferevent_setcb(b, on_read, on_written, on_event, NULL);
  bufferevent_enable(b, EV_READ | EV_WRITE);
}
static void listen_at(const char *port, evconnlistener_cb accepted, void *x) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  unsigned flags = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE;
  check(evconnlistener_new_bind(base, accepted, x, flags, 4096, (void *)&a, sizeof a) != NULL, "cannot listen");
}

static double spin(double seconds) {
  double began = now(), t = began;
  while (t - began < seconds) t = now();
  return t - began;
}

// The one-second job of one control connection.
struct job { int fd, active, steps; double left; struct event *step; };

static void job_done(struct job *j) {
  dprintf(j->fd, "{\"steps\": %d, \"worked\": %.6f}\n", j->steps, JOB_S - j->left);
  close(j->fd);
  event_free(j->step);
  free(j);
}
static void next_slice(struct job *j) {
  struct timeval at_once = {0, 0};
  if (j->active) event_active(j->step, EV_TIMEOUT, 0);
  else event_add(j->step, &at_once);
}
static void on_slice(evutil_socket_t fd, short what, void *x) {
  (void)fd, (void)what;
  struct job *j = x;
  j->left -= spin(SLICE_S);
  j->steps++;
  if (j->left > 0) next_slice(j);
  else job_done(j);
}
static void on_worked(evutil_socket_t fd, short what, void *x) {
  (void)fd, (void)what;
  job_done(x);
}
static void *work(void *x) {
  struct job *j = x;
  j->left -= spin(JOB_S);
  j->steps = 1;
  event_active(j->step, EV_TIMEOUT, 0);
  return NULL;
}
static void on_control(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *a, int n, void *manner) {
  (void)l, (void)a, (void)n;
  struct job *j = calloc(1, sizeof *j);
  *j = (struct job){.fd = fd, .active = !strcmp(manner, "cooperate-active"), .left = JOB_S};
  int offload = !strcmp(manner, "offload");
  j->step = event_new(base, -1, 0, offload ? on_worked : on_slice, j);
  if (!offload) return next_slice(j);
  pthread_t thread;
  pthread_create(&thread, NULL, work, j);
  pthread_detach(thread);
}

int main(int argc, char **argv) {
  const char *verb = argc > 1 ? argv[1] : "";
  double scale = argc > 2 ? atof(argv[2]) : 1;
  signal(SIGPIPE, SIG_IGN);
  evthread_use_pthreads();
  base = event_base_new();
  if (!strcmp(verb, "timers")) {
    set_and_cancel(MILLION * scale, scale);
    fire(FIRES * scale, scale);
    reset(MILLION * scale, scale);
  } else if (!strcmp(verb, "posts")) {
    wake = event_new(base, -1, EV_PERSIST, on_wake, NULL);
    posts("post", scale);
    once = 1;
    posts("post:once", scale);
  } else if (!strcmp(verb, "echo") && argc == 3) {
    listen_at(argv[2], on_accept, NULL);
    return event_base_dispatch(base);
  } else if (!strcmp(verb, "quiet-job") && argc == 5) {
    listen_at(argv[4], on_control, argv[2]);
    listen_at(argv[3], on_accept, NULL);
    return event_base_dispatch(base);
  } else {
    fputs("usage: libevent_peer timers|posts [SCALE] | echo PORT | quiet-job MANNER PORT CONTROL\n", stderr);
    return 2;
  }
  return 0;
}
