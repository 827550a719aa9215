-- wrk sends the lines of a file in turn, as JSON bodies, and prints what it saw as one line of JSON.
-- wrk ... -s load.lua URL -- BODIES FIRST_LINE
-- The rate is that of the answers up to the last one: what is still on its way when time is up would count against
-- the slow servers, which have a whole batch under way then.

local ffi = require("ffi")
ffi.cdef [[ typedef struct { long seconds, microseconds; } timeval; int gettimeofday(timeval *, void *); ]]

local bodies, at, clock = {}, 0, ffi.new("timeval")
local worker
answers, first, last = 0, 0, 0 -- global, so that done() can ask for them

local function now()
  ffi.C.gettimeofday(clock, nil)
  return tonumber(clock.seconds) + tonumber(clock.microseconds) / 1e6
end

function setup(thread) worker = thread end

function init(args)
  for line in io.lines(args[1]) do bodies[#bodies + 1] = line end
  at = tonumber(args[2]) % #bodies
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
end

function request()
  if first == 0 then first = now() end
  at = at % #bodies + 1
  return wrk.format(nil, nil, nil, bodies[at])
end

function response()
  answers = answers + 1
  last = now()
end

function done(summary, latency)
  local failed = summary.errors.status + summary.errors.connect + summary.errors.read
                 + summary.errors.write + summary.errors.timeout
  io.write(string.format(
    '\nRESULT {"requests": %d, "seconds": %.4f, "failed": %d, "p50_ms": %.3f, "p99_ms": %.3f}\n',
    worker:get("answers"), math.max(worker:get("last") - worker:get("first"), 0.001), failed,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
