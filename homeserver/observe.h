/*
 * What an operator sees of a running server: log lines with their context, a line for each request that failed by our
 * fault, and the metrics at /metrics of listeners with that resource. All names begin with hearth_, those of the
 * process as everywhere with process_.
 */
#pragma once

#include "metrics/metrics.h"
#include "server.h"

struct server_metrics;

/* When the server is open, before it listens. Sets server->metrics. */
void observe_start(struct server *server);
void observe_stop(struct server *server);

/* The hooks of the HTTP server. */
void observe_begin(const struct request *req);
void observe_finished(const struct request *req, int status, uint64_t bytes);
void observe_failed(const struct request *req, const struct err *err);

extern const struct route observe_routes[];
