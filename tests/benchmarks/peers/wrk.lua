-- Load for `make bench`: wrk ... URL -- PREFIX DATA PAUSE
-- With a PREFIX, each request is a POST of a new blob: its id starts with PREFIX, its data is DATA, in base64.
-- With a PAUSE, each connection waits before each request, for a random time of PAUSE milliseconds on average.
-- The last line of the output is JSON.

local prefix, data, count = "", "", 0

local function post()
  count = count + 1
  return wrk.format(nil, nil, nil, string.format('{"id":"%s%d","data":"%s"}', prefix, count, data))
end

function init(arguments)
  prefix, data = arguments[1], arguments[2]
  local mean = tonumber(arguments[3])
  if prefix ~= "" then
    wrk.method = "POST"
    wrk.headers["Content-Type"] = "application/json"
    request = post
  end
  if mean > 0 then
    delay = function() return math.floor(math.random() * (2 * mean + 1)) end
  end
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"seconds":%f,"bytes":%d,"median":%f,"p99":%f,"failed":%d}\n',
    summary.requests, summary.duration / 1e6, summary.bytes,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.timeout + errors.status
  ))
end
