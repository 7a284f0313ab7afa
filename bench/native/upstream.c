/*
 * A cheap upstream for measuring: one thread, one epoll, canned answers. Prints "ready on http://127.0.0.1:PORT".
 *
 *   POST .../chat/completions, .../messages   a JSON answer of about 1 kB; 10 kB below a path with /10k/
 *   the same with "stream":true in the body   50 events, 10 ms apart; below /idle/ one event, then silence
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
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

#define EVENTS 50
#define GAP_US 10000
#define EVENT_BYTES 1536

struct text {
  char *bytes;
  size_t len;
};

/* One wire language's canned answers. */
struct script {
  struct text small, large, head, events[EVENTS];
};

struct conn {
  int fd, gone, streaming;
  char *in;
  size_t len, cap;
  const struct script *script;
  int next;
  uint64_t due;
  struct conn *after;
};

static struct script chat, messages;
static struct conn *queue_first, *queue_last;
static int epoll_fd;

static uint64_t now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000ull + (uint64_t)t.tv_nsec / 1000;
}

static struct text keep(const char *bytes) { return (struct text){strdup(bytes), strlen(bytes)}; }

static struct text json_answer(const char *before, const char *after, size_t size) {
  static char body[32768], whole[33792];
  static const char words[] = "Gateways carry words from those who ask to those who answer; \\\"quickly\\\", they hope.\\n";
  size_t at = (size_t)sprintf(body, "%s", before), tail = strlen(after);
  while (at + tail + sizeof words < size) at += (size_t)sprintf(body + at, "%s", words);
  at += (size_t)sprintf(body + at, "%s", after);
  sprintf(whole,
          "HTTP/1.1 200 OK\r\ndate: Sat, 21 Nov 2026 11:00:00 GMT\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n"
          "x-request-id: req_0123456789abcdef\r\nx-ratelimit-limit-requests: 10000\r\nx-ratelimit-remaining-requests: 9999\r\n\r\n%s",
          at, body);
  return keep(whole);
}

static struct text chunk(const char *event, int last) {
  static char framed[EVENT_BYTES + 64];
  sprintf(framed, "%zx\r\n%s\r\n%s", strlen(event), event, last ? "0\r\n\r\n" : "");
  return keep(framed);
}

static void write_chat(void) {
  static const char open[] =
      "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1795258800,\"model\":\"bench-model\",\"choices\":[{\"index\":0,"
      "\"message\":{\"role\":\"assistant\",\"content\":\"";
  static const char close_[] =
      "\",\"refusal\":null,\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":219,"
      "\"completion_tokens\":110,\"total_tokens\":329,\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0},"
      "\"completion_tokens_details\":{\"reasoning_tokens\":0,\"audio_tokens\":0,\"accepted_prediction_tokens\":0,"
      "\"rejected_prediction_tokens\":0}},\"service_tier\":\"default\",\"system_fingerprint\":\"fp_bench\"}";
  static const char piece[] =
      "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1795258800,\"model\":\"bench-model\","
      "\"service_tier\":\"default\",\"system_fingerprint\":\"fp_bench\",\"choices\":[{\"index\":0,\"delta\":{%s},\"logprobs\":null,"
      "\"finish_reason\":%s}],\"usage\":null}\n\n";
  char event[EVENT_BYTES], delta[64];
  chat.small = json_answer(open, close_, 1200);
  chat.large = json_answer(open, close_, 10240);
  for (int i = 0; i < EVENTS - 1; i++) {
    if (i == EVENTS - 2) delta[0] = 0;
    else sprintf(delta, "\"content\":\" word%02d\"", i);
    sprintf(event, piece, delta, i == EVENTS - 2 ? "\"stop\"" : "null");
    chat.events[i] = chunk(event, 0);
  }
  sprintf(event, "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1795258800,\"model\":\"bench-model\","
                 "\"service_tier\":\"default\",\"choices\":[],\"usage\":{\"prompt_tokens\":219,\"completion_tokens\":48,\"total_tokens\":267,"
                 "\"prompt_tokens_details\":{\"cached_tokens\":0}}}\n\ndata: [DONE]\n\n");
  chat.events[EVENTS - 1] = chunk(event, 1);
}

static void write_messages(void) {
  static const char open[] =
      "{\"id\":\"msg_bench\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"bench-model\",\"content\":[{\"type\":\"text\",\"text\":\"";
  static const char close_[] =
      "\"}],\"stop_reason\":\"end_turn\",\"stop_sequence\":null,\"usage\":{\"input_tokens\":219,\"cache_creation_input_tokens\":0,"
      "\"cache_read_input_tokens\":0,\"output_tokens\":110,\"service_tier\":\"standard\"}}";
  char event[EVENT_BYTES];
  messages.small = json_answer(open, close_, 1200);
  messages.large = json_answer(open, close_, 10240);
  messages.events[0] = chunk(
      "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_bench\",\"type\":\"message\",\"role\":\"assistant\","
      "\"model\":\"bench-model\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":219,"
      "\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,\"output_tokens\":1,\"service_tier\":\"standard\"}}}\n\n"
      "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
      0);
  for (int i = 1; i < EVENTS - 1; i++) {
    sprintf(event, "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" word%02d\"}}\n\n", i);
    messages.events[i] = chunk(event, 0);
  }
  messages.events[EVENTS - 1] = chunk(
      "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
      "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},"
      "\"usage\":{\"output_tokens\":48}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
      1);
}

static void say(struct conn *c, struct text what) {
  if (send(c->fd, what.bytes, what.len, MSG_NOSIGNAL) < 0 && errno != EAGAIN) c->gone = 1;
}

static void enqueue(struct conn *c) {
  c->after = NULL;
  if (queue_last) queue_last->after = c;
  else queue_first = c;
  queue_last = c;
}

/* Answers every complete request that has arrived. */
static void answer(struct conn *c) {
  while (!c->streaming) {
    char *end = memmem(c->in, c->len, "\r\n\r\n", 4);
    if (!end) return;
    *end = 0;
    char *length = strcasestr(c->in, "\ncontent-length:"), *line_end = strchr(c->in, '\r');
    size_t head = (size_t)(end - c->in) + 4, total = head + (length ? (size_t)atol(length + 16) : 0);
    if (line_end) *line_end = 0;
    int large = strstr(c->in, "/10k/") != NULL, idle = strstr(c->in, "/idle/") != NULL;
    c->script = strstr(c->in, "/messages") ? &messages : &chat;
    if (line_end && line_end != end) *line_end = '\r';
    *end = '\r';
    if (c->len < total) return;
    int stream = memmem(c->in + head, total - head, "\"stream\":true", 13) != NULL;
    memmove(c->in, c->in + total, c->len - total);
    c->len -= total;
    if (!stream) {
      say(c, large ? c->script->large : c->script->small);
      continue;
    }
    say(c, c->script->head);
    c->streaming = 1;
    c->next = 0;
    if (idle) say(c, c->script->events[c->next++]);
    else {
      c->due = now_us() + GAP_US;
      enqueue(c);
    }
  }
}

static void drop(struct conn *c) {
  close(c->fd);
  c->fd = -1;
  c->gone = 1;
  /* One that waits in the queue is freed when its turn comes. */
  if (c->due) return;
  free(c->in);
  free(c);
}

static void readable(struct conn *c) {
  for (;;) {
    if (c->cap - c->len < 2048) c->in = realloc(c->in, c->cap = c->cap * 2 + 4096);
    ssize_t n = recv(c->fd, c->in + c->len, c->cap - c->len - 1, 0);
    if (n < 0 && errno == EAGAIN) break;
    if (n <= 0) return drop(c);
    c->len += (size_t)n;
    c->in[c->len] = 0;
    if (c->len < c->cap - 2048) break;
  }
  answer(c);
}

static void run_queue(void) {
  uint64_t t = now_us();
  while (queue_first && queue_first->due <= t) {
    struct conn *c = queue_first;
    queue_first = c->after;
    if (!queue_first) queue_last = NULL;
    if (c->gone) {
      if (c->fd >= 0) close(c->fd);
      free(c->in);
      free(c);
      continue;
    }
    say(c, c->script->events[c->next++]);
    if (c->next < EVENTS) {
      c->due += GAP_US;
      enqueue(c);
    } else {
      c->streaming = 0;
      c->due = 0;
      answer(c);
    }
  }
}

static void accept_all(int listener) {
  int yes = 1, fd;
  while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    struct conn *c = calloc(1, sizeof *c);
    c->fd = fd;
    struct epoll_event ev = {.events = EPOLLIN, .data = {.ptr = c}};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev);
  }
}

int main(void) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  signal(SIGPIPE, SIG_IGN);
  chat.head = messages.head = keep("HTTP/1.1 200 OK\r\ndate: Sat, 21 Nov 2026 11:00:00 GMT\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
                                   "transfer-encoding: chunked\r\nx-request-id: req_0123456789abcdef\r\n\r\n");
  write_chat();
  write_messages();
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), yes = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof at;
  if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 16384) || getsockname(listener, (struct sockaddr *)&at, &size)) return perror("upstream"), 1;
  printf("ready on http://127.0.0.1:%d\n", ntohs(at.sin_port));
  fflush(stdout);
  epoll_fd = epoll_create1(0);
  struct epoll_event ev = {.events = EPOLLIN}, events[512];
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &ev);
  for (;;) {
    int wait = -1;
    if (queue_first) {
      uint64_t t = now_us();
      wait = queue_first->due <= t ? 0 : (int)((queue_first->due - t + 999) / 1000);
    }
    int n = epoll_wait(epoll_fd, events, 512, wait);
    for (int i = 0; i < n; i++) {
      if (events[i].data.ptr) readable(events[i].data.ptr);
      else accept_all(listener);
    }
    run_queue();
  }
}
