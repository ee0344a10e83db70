/// The description of the query interface, OpenAPI 3.1.
enum OpenAPI {
  static let document = #"""
    {
      "openapi": "3.1.0",
      "info": {
        "title": "swtrace-agent",
        "version": "1",
        "summary": "Questions about the profiles that the agent keeps, and about the agent.",
        "description": "Times are seconds since 1970, RFC 3339, `now`, or relative to now such as `-1h` (s, m, h, d, w); a range does not \#
    contain its upper bound. Parameters that are not listed, or given twice, are errors. On loopback, reading needs no token. The Host \#
    header must be one of the agent's names."
      },
      "security": [{}, { "token": [] }],
      "paths": {
        "/api/v1/series": {
          "get": {
            "operationId": "series", "summary": "Labels of the series that have values in the range",
            "parameters": [{ "$ref": "#/components/parameters/type" }, { "$ref": "#/components/parameters/match" },
              { "$ref": "#/components/parameters/from" }, { "$ref": "#/components/parameters/to" }],
            "responses": {
              "200": { "description": "Each series once, sorted.", "content": { "application/json": { "schema": {
                "type": "object", "required": ["series"], "properties": { "series": { "type": "array", "items": {
                  "type": "object", "additionalProperties": { "type": "string" } } } } } } } },
              "default": { "$ref": "#/components/responses/error" }
            }
          }
        },
        "/api/v1/labels": {
          "get": {
            "operationId": "labels", "summary": "Names of labels with the values that they have in the range",
            "parameters": [{ "$ref": "#/components/parameters/type" }, { "$ref": "#/components/parameters/match" },
              { "$ref": "#/components/parameters/from" }, { "$ref": "#/components/parameters/to" }],
            "responses": {
              "200": { "description": "Sorted.", "content": { "application/json": { "schema": {
                "type": "object", "required": ["labels"], "properties": { "labels": { "type": "object",
                  "additionalProperties": { "type": "array", "items": { "type": "string" } } } } } } } },
              "default": { "$ref": "#/components/responses/error" }
            }
          }
        },
        "/api/v1/timeline": {
          "get": {
            "operationId": "timeline", "summary": "Totals over time for each value of one label",
            "parameters": [{ "$ref": "#/components/parameters/type" }, { "$ref": "#/components/parameters/match" },
              { "$ref": "#/components/parameters/from" }, { "$ref": "#/components/parameters/to" },
              { "name": "step", "in": "query", "description": "Seconds, a multiple of 10; at most 10,000 steps. Without it, at most 360 \#
    round ones.",
                "schema": { "type": "integer", "minimum": 10, "multipleOf": 10 } },
              { "name": "by", "in": "query", "description": "The label.", "schema": { "type": "string", "default": "service" } }],
            "responses": {
              "200": { "description": "Step i begins at start + i * step. A step with covered 0 was not measured: a gap, not idleness.",
                "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Timeline" } } } },
              "default": { "$ref": "#/components/responses/error" }
            }
          }
        },
        "/api/v1/profile": {
          "get": {
            "operationId": "profile", "summary": "The sum of all series and windows in the range",
            "parameters": [{ "$ref": "#/components/parameters/type" }, { "$ref": "#/components/parameters/match" },
              { "$ref": "#/components/parameters/from" }, { "$ref": "#/components/parameters/to" },
              { "name": "format", "in": "query", "schema": { "enum": ["json", "folded", "pprof"], "default": "json" } }],
            "responses": {
              "200": { "description": "json: the tree of calls as the page reads it. folded: a stack and its value a line. pprof: gzip \#
    around the message.",
                "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Tree" } },
                  "text/plain": { "schema": { "type": "string" } }, "application/octet-stream": {} } },
              "default": { "$ref": "#/components/responses/error" }
            }
          }
        },
        "/api/v1/difference": {
          "get": {
            "operationId": "difference", "summary": "The profile of a range compared with that of another one",
            "parameters": [{ "$ref": "#/components/parameters/type" }, { "$ref": "#/components/parameters/match" },
              { "$ref": "#/components/parameters/from" }, { "$ref": "#/components/parameters/to" },
              { "name": "before_from", "in": "query", "required": true, "schema": { "type": "string" } },
              { "name": "before_to", "in": "query", "required": true, "schema": { "type": "string" } },
              { "name": "before_match", "in": "query", "description": "As match, of the earlier range; the same without it.",
                "schema": { "type": "string" } },
              { "name": "format", "in": "query", "schema": { "enum": ["json", "folded"], "default": "json" } }],
            "responses": {
              "200": { "description": "json: the tree of both, with before. folded: a stack and both values a line, the earlier first.",
                "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Tree" } },
                  "text/plain": { "schema": { "type": "string" } } } },
              "default": { "$ref": "#/components/responses/error" }
            }
          }
        },
        "/api/v1/metrics": {
          "get": {
            "operationId": "metricList", "summary": "The metrics of the machine that are kept, with their series",
            "parameters": [{ "$ref": "#/components/parameters/from" }, { "$ref": "#/components/parameters/to" }],
            "responses": {
              "200": { "description": "All metrics; those that were not measured in the range have no series.",
                "content": { "application/json": { "schema": { "type": "object", "required": ["metrics"], "properties": {
                  "metrics": { "type": "array", "items": { "type": "object",
                    "required": ["name", "help", "kind", "unit", "labels", "series"], "properties": {
                    "name": { "type": "string" }, "help": { "type": "string" }, "kind": { "enum": ["counter", "histogram"] },
                    "unit": { "type": ["string", "null"] }, "labels": { "type": "array", "items": { "type": "string" } },
                    "series": { "type": "array", "items": { "type": "object", "additionalProperties": {
                      "type": "string" } } } } } } } } } } },
              "default": { "$ref": "#/components/responses/error" }
            }
          }
        },
        "/api/v1/metrics/range": {
          "get": {
            "operationId": "metricRange", "summary": "A metric over time: counts, and of histograms sums, percentiles and buckets",
            "parameters": [{ "name": "metric", "in": "query", "required": true, "schema": { "type": "string" },
                "example": "swtrace_run_queue_latency_seconds" },
              { "$ref": "#/components/parameters/match" }, { "$ref": "#/components/parameters/from" }, {
                "$ref": "#/components/parameters/to" },
              { "name": "step", "in": "query", "description": "Seconds, a multiple of 10; at most 10,000 steps. Without it, at most 360 \#
    round ones. What is older is kept as sums of a minute or an hour: the answer's steps are then at least that long.",
                "schema": { "type": "integer", "minimum": 10, "multipleOf": 10 } },
              { "name": "by", "in": "query", "description": "The label whose values have a row each; without it there is one row.",
                "schema": { "type": "string" } }],
            "responses": {
              "200": { "description": "Step i begins at start + i * step. A step with covered 0 was not measured: a gap.",
                "content": { "application/json": { "schema": { "$ref": "#/components/schemas/MetricTimeline" } } } },
              "default": { "$ref": "#/components/responses/error" }
            }
          }
        },
        "/api/v1/health": {
          "get": {
            "operationId": "health", "summary": "How the agent is doing: rates, losses, stacks, cost, store, remarks",
            "responses": {
              "200": { "description": "Counts are since the start; cost is of the last window.",
                "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Health" } } } },
              "default": { "$ref": "#/components/responses/error" }
            }
          }
        },
        "/api/v1/probes": {
          "get": {
            "operationId": "probes", "summary": "Probes: how each is to measure, and what it does",
            "responses": {
              "200": { "description": "Sorted by name.", "content": { "application/json": { "schema": {
                "type": "object", "required": ["probes"], "properties": { "probes": { "type": "array",
                  "items": { "$ref": "#/components/schemas/Probe" } } } } } } },
              "default": { "$ref": "#/components/responses/error" }
            }
          }
        },
        "/api/v1/probes/{name}": {
          "post": {
            "operationId": "changeProbe", "summary": "Start, stop or re-tune a probe", "security": [{ "token": [] }],
            "description": "Members that are left out stay. The window that is measured is finished as it was begun; what is changed is \#
    written to the log, and holds until the agent ends or reads its file again.",
            "parameters": [{ "name": "name", "in": "path", "required": true, "schema": { "type": "string" }, "example": "cpu" }],
            "requestBody": { "required": true, "content": { "application/json": { "schema": {
              "type": "object", "additionalProperties": false, "minProperties": 1, "properties": {
                "running": { "type": "boolean" }, "frequency": { "type": "integer", "minimum": 1, "maximum": 999 },
                "threshold": { "type": "integer", "minimum": 1, "maximum": 10000000 },
                "interval": { "type": "integer", "minimum": 1, "maximum": 1073741824 },
                "mode": { "enum": ["all", "major", "latency", "errors"],
                  "description": "all or major of page_faults, latency or errors of syscalls." },
                "filter": { "$ref": "#/components/schemas/Filter" } } } } } },
            "responses": {
              "200": { "description": "The probe; pending until it measures so.",
                "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Probe" } } } },
              "default": { "$ref": "#/components/responses/error" }
            }
          }
        },
        "/api/v1/budget": {
          "get": {
            "operationId": "budget", "summary": "What the agent may take before it lowers its rates and pauses probes",
            "responses": {
              "200": { "description": "The budget.", "content": { "application/json": { "schema": {
                "$ref": "#/components/schemas/Budget" } } } },
              "default": { "$ref": "#/components/responses/error" }
            }
          },
          "post": {
            "operationId": "changeBudget", "summary": "Change the budget", "security": [{ "token": [] }],
            "description": "Members that are left out stay. It holds until the agent ends or reads its file again.",
            "requestBody": { "required": true, "content": { "application/json": { "schema": {
              "allOf": [{ "$ref": "#/components/schemas/Budget" }], "minProperties": 1 } } } },
            "responses": {
              "200": { "description": "The budget.", "content": { "application/json": { "schema": {
                "$ref": "#/components/schemas/Budget" } } } },
              "default": { "$ref": "#/components/responses/error" }
            }
          }
        },
        "/api/v1/openapi.json": {
          "get": { "operationId": "openapi", "summary": "This document", "responses": { "200": { "description": "OpenAPI 3.1.",
            "content": { "application/json": {} } } } }
        },
        "/debug/pprof/profile": {
          "get": {
            "operationId": "profileNow", "summary": "What the processors run from now on, for go tool pprof and scrapers",
            "parameters": [{ "name": "seconds", "in": "query",
              "schema": { "type": "integer", "minimum": 1, "maximum": 300, "default": 30 } }],
            "responses": {
              "200": { "description": "The windows of ten seconds that the time lies in, as pprof; it says which. Comes when the last of \#
    them is kept.",
                "content": { "application/octet-stream": {} } },
              "default": { "$ref": "#/components/responses/error" }
            }
          }
        },
        "/healthz": {
          "get": { "operationId": "alive", "summary": "Whether the agent answers",
            "responses": { "200": { "description": "It does.", "content": { "text/plain": { "schema": { "type": "string" } } } } } }
        },
        "/readyz": {
          "get": { "operationId": "ready", "summary": "Whether the agent measures and keeps",
            "responses": { "200": { "description": "It does.", "content": { "text/plain": { "schema": { "type": "string" } } } },
              "503": { "$ref": "#/components/responses/error" } } }
        },
        "/metrics": {
          "get": { "operationId": "metrics", "summary": "The agent's metrics",
            "responses": { "200": { "description": "Prometheus text 0.0.4, or OpenMetrics 1.0.0 when Accept prefers it.",
              "content": { "text/plain": { "schema": { "type": "string" } }, "application/openmetrics-text": { "schema": {
                "type": "string" } } } } } }
        }
      },
      "components": {
        "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        "parameters": {
          "type": { "name": "type", "in": "query", "schema": { "enum": ["cpu", "off_cpu", "lock", "allocations"], "default": "cpu" } },
          "match": { "name": "match", "in": "query", "description": "Conditions on labels, all of which hold; a missing label is empty.",
            "schema": { "type": "string" }, "example": "{service=\"nginx.service\",comm=~\"worker.*\"}" },
          "from": { "name": "from", "in": "query", "schema": { "type": "string", "default": "-1h" } },
          "to": { "name": "to", "in": "query", "schema": { "type": "string", "default": "now" } }
        },
        "responses": {
          "error": { "description": "400 a wrong parameter or body; 401 or 403 no token; 404 no such path or probe; 405 nothing to \#
    change; 413, 414, 431 too long; 421 a foreign Host; 429 too many queries at once; 503 too slow, or not ready.",
            "content": { "application/json": { "schema": { "type": "object", "required": ["error"],
              "properties": { "error": { "type": "string", "description": "One line: what, on what, why, what to do." } } } } } }
        },
        "schemas": {
          "Probe": { "type": "object", "required": ["name", "label", "running", "pending", "frequency", "threshold", "interval", "mode",
            "filter", "events", "lost", "reason"], "properties": {
            "name": { "type": "string", "description": "A profile, or a key below metrics in the configuration." },
            "label": { "type": "string", "description": "What metrics of the agent call it: the value of probe or profile." },
            "running": { "type": "boolean", "description": "What it does." },
            "pending": { "type": "boolean", "description": "Whether that is not yet what it is to do." },
            "frequency": { "type": ["integer", "null"], "description": "Samples a second on each processor; null where events are \#
    measured." },
            "threshold": { "type": ["integer", "null"], "description": "The shortest wait that counts, in microseconds; null where there \#
    are none." },
            "interval": { "type": ["integer", "null"], "description": "Bytes between samples of allocations, in the mean; null where there \#
    are none." },
            "mode": { "type": ["string", "null"], "description": "Which of its events count; null where there is no choice." },
            "filter": { "$ref": "#/components/schemas/Filter" },
            "events": { "type": "integer", "description": "Since the start." }, "lost": { "type": "integer", "description": "Of these." },
            "reason": { "type": ["string", "null"], "description": "Why it does not measure although it is to: it failed, and is tried \#
    again in so many seconds, or is paused to keep the budget." } } },
          "Filter": { "type": "object", "additionalProperties": false, "description": "Which tasks, of profiles: all that is given must \#
    hold; {} for any.", "properties": {
            "comm": { "type": "string", "description": "The command name." },
            "cgroup": { "type": "string", "description": "The path of a cgroup; those below it belong to it." },
            "user": { "type": "string", "description": "A name or a number." } } },
          "Budget": { "type": "object", "properties": {
            "max_cpu": { "type": "number", "minimum": 0.1, "maximum": 6400,
              "description": "Of the agent and its programs, in percent of one processor; without the programs where the health has null for them." },
            "max_memory_bytes": { "type": "integer", "minimum": 67108864, "description": "Of the agent's process." } } },
          "Timeline": { "type": "object", "required": ["type", "unit", "by", "start", "step", "covered", "lost", "period", "rows"],
            "properties": {
            "type": { "type": "string" }, "unit": { "type": "string" }, "by": { "type": "string" },
            "start": { "type": "integer", "description": "Seconds since 1970." }, "step": { "type": "integer", "description": "Seconds." },
            "covered": { "type": "array", "items": { "type": "integer" }, "description": "Nanoseconds of each step that were measured." },
            "lost": { "type": "array", "items": { "type": "integer" }, "description": "Events lost in each step." },
            "period": { "type": "array", "items": { "type": "integer" },
              "description": "Nanoseconds between samples in each step, the longest where there were several; 0 for events. Samples times \#
    this, by covered, is how many processors were busy." },
            "rows": { "type": "array", "description": "The largest sum first.", "items": { "type": "object", "properties": {
              "value": { "type": "string", "description": "Empty for series without the label." },
              "sums": { "type": "array", "items": { "type": "integer" } } } } } } },
          "MetricTimeline": { "type": "object",
            "required": ["metric", "help", "kind", "unit", "labels", "by", "start", "step", "covered", "lost", "rows"], "properties": {
            "metric": { "type": "string" }, "help": { "type": "string" }, "kind": { "enum": ["counter", "histogram"] },
            "unit": { "type": ["string", "null"] }, "labels": { "type": "array", "items": { "type": "string" } },
            "by": { "type": ["string", "null"] },
            "start": { "type": "integer", "description": "Seconds since 1970." }, "step": { "type": "integer", "description": "Seconds." },
            "covered": { "type": "array", "items": { "type": "integer" }, "description": "Nanoseconds of each step that were measured." },
            "lost": { "type": "array", "items": { "type": "integer" }, "description": "Events lost in each step." },
            "bounds": { "type": "array", "items": { "type": "number" },
              "description": "Of histograms: the largest value of each bucket, in the unit; powers of two of nanoseconds less one." },
            "rows": { "type": "array", "description": "The largest count first.", "items": { "type": "object", "required": ["value",
              "count"], "properties": {
              "value": { "type": "string", "description": "Of the label; empty without it." },
              "count": { "type": "array", "items": { "type": "integer" }, "description": "Of each step: events, or values." },
              "sum": { "type": "array", "items": { "type": "number" }, "description": "Of the values, in the unit, as all below." },
              "p50": { "type": "array", "items": { "type": ["number", "null"] },
                "description": "Null for steps without values; exact to 1/8." },
              "p90": { "type": "array", "items": { "type": ["number", "null"] } },
              "p99": { "type": "array", "items": { "type": ["number", "null"] } },
              "max": { "type": "array", "items": { "type": ["number", "null"] } },
              "buckets": { "type": "array", "description": "Of each step, how many values are in each of the bounds' buckets; not \#
    cumulative.",
                "items": { "type": "array", "items": { "type": "integer" } } } } } } } },
          "Tree": { "type": "object", "description": "Calls in depth-first order, by columns; the page's own form, which may gain \#
    members.", "properties": {
            "unit": { "type": "string" }, "decimals": { "type": "integer" }, "strings": { "type": "array", "items": { "type": "string" } },
            "functions": { "type": "object", "description": "name, module: places in strings; kind, color." },
            "nodes": { "type": "object", "description": "depth, function." },
            "entries": { "type": "object", "description": "node, as differences to the one before; thread; value." },
            "before": { "type": "object", "description": "The same of the earlier range, in a difference." } } },
          "Health": { "type": "object", "properties": {
            "version": { "type": "string" }, "started_at": { "type": "integer" },
            "profiles": { "type": "array", "items": { "type": "object", "properties": {
              "type": { "type": "string" }, "frequency_hertz": { "type": "number" }, "events": { "type": "integer" }, "lost": {
                "type": "integer" },
              "whole_stacks": { "type": "integer" }, "cut_stacks": { "type": "integer" }, "unnamed_frames": { "type": "integer" },
              "frames": { "type": "integer" } } } },
            "cost": { "type": "object", "properties": {
              "processor": { "type": "number", "description": "Processors' worth of time of the last window, of the agent's process." },
              "programs": { "type": ["number", "null"], "description": "The same of its programs in the kernel; null where that is not known." },
              "limit": { "type": "number" }, "memory_bytes": { "type": "integer" } } },
            "store": { "type": "object", "properties": {
              "bytes": { "type": "integer" }, "limit_bytes": { "type": "integer" }, "dropped_windows": { "type": "integer" },
              "extents": { "type": "object", "additionalProperties": { "type": "array", "items": { "type": "integer" },
                "description": "The first second that there are values for, and the one after the last." } } } },
            "remarks": { "type": "array", "items": { "type": "string" } } } }
        }
      }
    }
    """#
}
