-- Keeps what a streamed chat said it used, once it says that it is done.
--
-- Clients of OpenAI close at `[DONE]`, before the answer's own end, and Envoy makes its record of
-- usage only there. Written: `tallystick.answer` `usage`, the last usage object of the stream, as JSON.
-- Neither line break nor quote can stand bare in a JSON text, so no model can write what is looked for.

local KEPT_BYTES = 4096
local DONE = "[\r\n]data: ?%[DONE%][\r\n]"

local function is_stream(headers)
  local kind, coding = headers:get("content-type"), headers:get("content-encoding")
  return kind and kind:lower():find("^%s*text/event%-stream") and (not coding or coding == "identity")
end

function envoy_on_response(handle)
  if not is_stream(handle:headers()) then return end
  local tail = ""
  for chunk in handle:bodyChunks() do
    local length = chunk:length()
    local from = math.max(0, length - KEPT_BYTES)
    tail = (tail .. chunk:getBytes(from, length - from)):sub(-KEPT_BYTES)
    if tail:find("[DONE]", 1, true) and tail:find(DONE) then
      local usage
      for found in tail:gmatch('"usage"%s*:%s*(%b{})') do usage = found end
      if usage then handle:streamInfo():dynamicMetadata():set("tallystick.answer", "usage", usage) end
      return
    end
  end
end
