/*
 * Load generator: one thread, one epoll, HTTP/1.1 over loopback. Prints one line of JSON.
 *
 *   load --port P --path /v1/chat/completions --body FILE [--header 'name: value']... [--pids 1,2]
 *        --mode closed --conns C --warm N --count N --secs S   every connection sends its next request when the last is answered;
 *                                                      ends after N answers or S seconds
 *        --mode open   --conns C --warm S --secs S --rate R   a request every 1/R s; latency counts from the time it was due
 *        --mode hold   --conns C --secs S               opens C streams, waits for the first byte of each, holds them
 *
 * CPU is read from /proc/PID/task/.../schedstat (nanoseconds on a core, all threads) when measuring begins and when it ends.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_PIDS 64
#define MAX_SAMPLES 4000000
#define HEAD_BYTES 8192
#define NS 1000000000ull

enum body_state { HEAD, SIZED, CHUNK_SIZE, CHUNK_EXT, CHUNK_DATA, LAST_CRLF };

struct conn {
  int fd, busy, status, first_seen, head_len;
  enum body_state state;
  long left; /* bytes of a sized body, or of a chunk with its CRLF */
  uint64_t due;
  uint32_t first_us;
  char head[HEAD_BYTES];
};

static struct {
  int port, conns;
  double warm, secs, rate;
  long count;
  const char *path, *body, *mode;
  int pids[MAX_PIDS], pid_count;
} opt = {.conns = 1, .path = "/", .mode = "closed"};

static struct conn *conns;
static char *request;
static size_t request_len;
static int epoll_fd;
static long errors, bad;
static uint32_t *total_us, *first_us;
static long samples;

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * NS + (uint64_t)t.tv_nsec;
}

static uint64_t cpu_of(int pid) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/task", pid);
  DIR *dir = opendir(path);
  if (!dir) return 0;
  uint64_t sum = 0;
  for (struct dirent *entry; (entry = readdir(dir));) {
    if (entry->d_name[0] == '.') continue;
    char file[400];
    snprintf(file, sizeof file, "/proc/%d/task/%s/schedstat", pid, entry->d_name);
    FILE *in = fopen(file, "r");
    if (!in) continue;
    unsigned long long ns = 0;
    if (fscanf(in, "%llu", &ns) == 1) sum += ns;
    fclose(in);
  }
  closedir(dir);
  return sum;
}

static uint64_t cpu_all(void) {
  uint64_t sum = 0;
  for (int i = 0; i < opt.pid_count; i++) sum += cpu_of(opt.pids[i]);
  return sum;
}

static long rss_kb(void) {
  long sum = 0;
  for (int i = 0; i < opt.pid_count; i++) {
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%d/status", opt.pids[i]);
    FILE *in = fopen(path, "r");
    if (!in) continue;
    long kb;
    while (fgets(line, sizeof line, in))
      if (sscanf(line, "VmRSS: %ld", &kb) == 1) sum += kb;
    fclose(in);
  }
  return sum;
}

static int dial(struct conn *c) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)opt.port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  int yes = 1;
  c->fd = socket(AF_INET, SOCK_STREAM, 0);
  if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof to)) {
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    return -1;
  }
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  struct epoll_event ev = {.events = EPOLLIN, .data = {.ptr = c}};
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &ev);
  c->busy = 0;
  return 0;
}

static void send_request(struct conn *c, uint64_t due) {
  c->busy = 1;
  c->state = HEAD;
  c->head_len = c->first_seen = 0;
  c->due = due;
  for (size_t at = 0; at < request_len;) {
    ssize_t n = send(c->fd, request + at, request_len - at, MSG_NOSIGNAL);
    if (n <= 0) return; /* the read side will notice */
    at += (size_t)n;
  }
}

/* Takes one byte run of the head; returns how many bytes it used. */
static int feed_head(struct conn *c, const char *bytes, int n) {
  int used = 0;
  while (used < n && c->head_len < HEAD_BYTES - 1) {
    c->head[c->head_len++] = bytes[used++];
    if (c->head_len < 4 || memcmp(c->head + c->head_len - 4, "\r\n\r\n", 4)) continue;
    c->head[c->head_len] = 0;
    c->status = atoi(c->head + 9);
    char *length = strcasestr(c->head, "\ncontent-length:");
    c->state = length ? SIZED : CHUNK_SIZE;
    c->left = length ? atol(length + 16) : 0;
    return used;
  }
  return used;
}

/* Takes bytes of an answer; true when it is complete. */
static int feed(struct conn *c, const char *bytes, int n) {
  int at = 0;
  if (c->state == HEAD) {
    at = feed_head(c, bytes, n);
    if (c->state == HEAD) return 0;
    if (c->state == SIZED && c->left == 0) return 1;
  }
  if (at < n && !c->first_seen) {
    c->first_seen = 1;
    c->first_us = (uint32_t)((now() - c->due) / 1000);
  }
  while (at < n) {
    char b = bytes[at];
    switch (c->state) {
      case SIZED:
        c->left -= n - at;
        return c->left <= 0;
      case CHUNK_SIZE:
        at++;
        if (b == '\n') {
          c->state = c->left ? CHUNK_DATA : LAST_CRLF;
          c->left += 2;
        } else if (b == ';') c->state = CHUNK_EXT;
        else if (b != '\r') c->left = c->left * 16 + (b <= '9' ? b - '0' : (b | 32) - 'a' + 10);
        break;
      case CHUNK_EXT:
        at++;
        if (b == '\n') {
          c->state = c->left ? CHUNK_DATA : LAST_CRLF;
          c->left += 2;
        }
        break;
      case CHUNK_DATA:
      case LAST_CRLF: {
        long take = n - at < c->left ? n - at : c->left;
        at += (int)take;
        c->left -= take;
        if (c->left) break;
        if (c->state == LAST_CRLF) return 1;
        c->state = CHUNK_SIZE;
        break;
      }
      case HEAD:
        return 0;
    }
  }
  return 0;
}

static void record(struct conn *c) {
  if (samples >= MAX_SAMPLES) return;
  total_us[samples] = (uint32_t)((now() - c->due) / 1000);
  first_us[samples++] = c->first_us;
}

static int ascending(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

static uint32_t quantile(uint32_t *sorted, double q) { return samples ? sorted[(long)((double)(samples - 1) * q)] : 0; }

static void report(uint64_t began, uint64_t cpu0) {
  uint64_t wall = now() - began, cpu = cpu_all() - cpu0;
  qsort(total_us, (size_t)samples, sizeof *total_us, ascending);
  qsort(first_us, (size_t)samples, sizeof *first_us, ascending);
  double n = samples ? (double)samples : 1;
  printf("{\"requests\":%ld,\"errors\":%ld,\"bad\":%ld,\"perSecond\":%.1f,\"cpuUs\":%.2f,\"busy\":%.3f,\"p50Us\":%u,\"p90Us\":%u,\"p99Us\":%u,"
         "\"firstP50Us\":%u,\"firstP99Us\":%u,\"rssKb\":%ld}\n",
         samples, errors, bad, n * 1e9 / (double)wall, (double)cpu / 1e3 / n, (double)cpu / (double)wall, quantile(total_us, 0.5),
         quantile(total_us, 0.9), quantile(total_us, 0.99), quantile(first_us, 0.5), quantile(first_us, 0.99), rss_kb());
}

static char buffer[1 << 18];

/* Reads what is there; 1 when the answer is complete, 0 when more is to come, -1 when the connection is gone. */
static int take(struct conn *c) {
  ssize_t n = recv(c->fd, buffer, sizeof buffer, MSG_DONTWAIT);
  if (n < 0 && errno == EAGAIN) return 0;
  if (n <= 0) return -1;
  int complete = feed(c, buffer, (int)n);
  if (complete && c->status != 200) bad++;
  return complete;
}

static void redial(struct conn *c) {
  errors++;
  if (c->fd >= 0) close(c->fd);
  dial(c);
}

static void run_closed(void) {
  struct epoll_event events[512];
  long warm = (long)opt.warm, answered = 0;
  uint64_t began = 0, cpu0 = 0;
  for (int i = 0; i < opt.conns; i++) send_request(&conns[i], now());
  while (samples < opt.count && errors < 1000 && !(opt.secs && began && (double)(now() - began) > opt.secs * 1e9)) {
    int n = epoll_wait(epoll_fd, events, 512, 10000);
    if (n <= 0) break;
    for (int i = 0; i < n && samples < opt.count; i++) {
      struct conn *c = events[i].data.ptr;
      int got = take(c);
      if (got == 0) continue;
      if (got < 0) redial(c);
      else if (began) record(c);
      else if (++answered >= warm) {
        began = now();
        cpu0 = cpu_all();
      }
      if (c->fd >= 0) send_request(c, now());
    }
  }
  report(began ? began : now(), cpu0);
}

static void run_open(void) {
  struct epoll_event events[512];
  uint64_t step = (uint64_t)(1e9 / opt.rate), start = now() + 1000000, from = start + (uint64_t)(opt.warm * 1e9);
  uint64_t until = from + (uint64_t)(opt.secs * 1e9), next = start, began = 0, cpu0 = 0;
  int free_conns = opt.conns, cursor = 0;
  for (;;) {
    uint64_t t = now();
    if (!began && t >= from) {
      began = t;
      cpu0 = cpu_all();
    }
    if (t >= until || errors > 1000) break;
    for (; next <= t && free_conns > 0; next += step, free_conns--) {
      while (conns[cursor].busy) cursor = (cursor + 1) % opt.conns;
      send_request(&conns[cursor], next);
    }
    t = now();
    uint64_t wait = next > t ? next - t : (free_conns ? 0 : 1000000);
    struct timespec timeout = {.tv_nsec = (long)(wait < 50000000 ? wait : 50000000)};
    int n = epoll_pwait2(epoll_fd, events, 512, &timeout, NULL);
    for (int i = 0; i < n; i++) {
      struct conn *c = events[i].data.ptr;
      int got = take(c);
      if (got == 0) continue;
      if (got < 0) redial(c);
      else if (began && c->due >= from) record(c);
      if (c->busy) free_conns++;
      c->busy = 0;
    }
  }
  report(began ? began : now(), cpu0);
}

static void run_hold(void) {
  struct epoll_event events[512];
  long before = rss_kb(), open = 0, lost = 0;
  long refused = 0;
  for (int i = 0; i < opt.conns; i++) {
    if (conns[i].fd < 0) continue;
    send_request(&conns[i], now());
    if (i % 50 == 49) usleep(20000);
  }
  uint64_t began = now(), until = began + (uint64_t)(opt.secs * 1e9), half = began + (uint64_t)(opt.secs * 0.5e9), cpu0 = 0, cpu_at = 0;
  while (now() < until) {
    int n = epoll_wait(epoll_fd, events, 512, 100);
    for (int i = 0; i < n; i++) {
      struct conn *c = events[i].data.ptr;
      int was = c->first_seen, got = take(c);
      if (!was && c->first_seen) {
        if (c->status == 200) open++;
        else refused++;
      }
      if (got < 0 || got == 1) {
        epoll_ctl(epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
        lost++;
      }
    }
    if (!cpu_at && now() > half) {
      cpu_at = now();
      cpu0 = cpu_all();
    }
  }
  double idle = cpu_at ? (double)(cpu_all() - cpu0) / (double)(now() - cpu_at) : 0;
  long after = rss_kb();
  printf("{\"asked\":%d,\"open\":%ld,\"refused\":%ld,\"lost\":%ld,\"rssBeforeKb\":%ld,\"rssKb\":%ld,\"kbPerStream\":%.2f,\"idleBusy\":%.4f}\n", opt.conns, open,
         refused, lost, before, after, open ? (double)(after - before) / (double)open : 0, idle);
}

static void build_request(const char *headers) {
  FILE *in = fopen(opt.body, "rb");
  if (!in) {
    perror(opt.body);
    exit(2);
  }
  fseek(in, 0, SEEK_END);
  long size = ftell(in);
  rewind(in);
  request = malloc((size_t)size + strlen(headers) + 1024);
  int head = sprintf(request,
                     "POST %s HTTP/1.1\r\nhost: 127.0.0.1:%d\r\ncontent-type: application/json\r\naccept: application/json\r\n"
                     "user-agent: bench/1\r\n%scontent-length: %ld\r\n\r\n",
                     opt.path, opt.port, headers, size);
  request_len = (size_t)head + fread(request + head, 1, (size_t)size, in);
  fclose(in);
}

int main(int argc, char **argv) {
  struct rlimit limit;
  static char headers[16384];
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  for (int i = 1; i + 1 < argc; i += 2) {
    const char *name = argv[i], *value = argv[i + 1];
    if (!strcmp(name, "--port")) opt.port = atoi(value);
    else if (!strcmp(name, "--path")) opt.path = value;
    else if (!strcmp(name, "--body")) opt.body = value;
    else if (!strcmp(name, "--mode")) opt.mode = value;
    else if (!strcmp(name, "--conns")) opt.conns = atoi(value);
    else if (!strcmp(name, "--warm")) opt.warm = atof(value);
    else if (!strcmp(name, "--count")) opt.count = atol(value);
    else if (!strcmp(name, "--secs")) opt.secs = atof(value);
    else if (!strcmp(name, "--rate")) opt.rate = atof(value);
    else if (!strcmp(name, "--header") && strlen(headers) + strlen(value) + 3 < sizeof headers) strcat(strcat(headers, value), "\r\n");
    else if (!strcmp(name, "--pids"))
      for (char *p = strtok(strdup(value), ","); p && opt.pid_count < MAX_PIDS; p = strtok(NULL, ",")) opt.pids[opt.pid_count++] = atoi(p);
  }
  if (!opt.port || !opt.body) return fprintf(stderr, "load: --port and --body are needed\n"), 2;
  build_request(headers);
  epoll_fd = epoll_create1(0);
  conns = calloc((size_t)opt.conns, sizeof *conns);
  total_us = malloc(sizeof *total_us * MAX_SAMPLES);
  first_us = malloc(sizeof *first_us * MAX_SAMPLES);
  for (int i = 0; i < opt.conns; i++) {
    if (dial(&conns[i])) errors++;
    if (i % 50 == 49) usleep(2000);
  }
  if (!strcmp(opt.mode, "hold")) run_hold();
  else if (!strcmp(opt.mode, "open")) run_open();
  else run_closed();
  return 0;
}
