-- Load for `make bench`: wrk ... URL -- PREFIX DATA PAUSE STEP
-- With a PREFIX, each request is a POST of a new blob: its id starts with PREFIX, its data is DATA, in base64.
-- With a PAUSE, each connection waits before each request, for a random time of PAUSE milliseconds on average.
-- With a STEP, requests are spread over the ids: a GET is of one of 1,000, which are that far apart, and the id of a
-- POST begins with one of these.
-- The last line of the output is JSON.

local prefix, data, count, step = "", "", 0, 0

local function id()
  return string.format("%08d", math.random(0, 999) * step)
end

local function post()
  count = count + 1
  local start = step > 0 and id() or ""
  return wrk.format(nil, nil, nil, string.format('{"id":"%s%s%d","data":"%s"}', start, prefix, count, data))
end

local function get()
  return wrk.format(nil, string.format("%s/%s?alt=media", wrk.path, id()))
end

function init(arguments)
  prefix, data = arguments[1], arguments[2]
  local mean = tonumber(arguments[3])
  step = tonumber(arguments[4])
  math.randomseed(os.time())
  if prefix ~= "" then
    wrk.method = "POST"
    wrk.headers["Content-Type"] = "application/json"
    request = post
  elseif step > 0 then
    request = get
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
