-- Posts to /graphql and looks at each answer. Its argument is a file: the token, the texts that an answer must hold
-- (between tabs), then a body per line. "{n}" in a body stands for twelve digits that no other request of the run has.

local requests, templates, expected = {}, {}, {}
local asked = 0
local thread
wrong = 0

function setup(created)
  thread = created
end

function init(args)
  local lines = io.lines(args[1])
  wrk.headers['authorization'] = 'Bearer ' .. lines()
  wrk.headers['content-type'] = 'application/json'
  wrk.headers['accept'] = 'application/json'
  for text in lines():gmatch('[^\t]+') do table.insert(expected, text) end
  for body in lines do
    table.insert(templates, body)
    if not body:find('{n}', 1, true) then table.insert(requests, wrk.format('POST', '/graphql', nil, body)) end
  end
end

function request()
  asked = asked + 1
  local number = (asked - 1) % #templates + 1
  if #requests > 0 then return requests[number] end
  local body = templates[number]:gsub('{n}', string.format('%012d', asked))
  return wrk.format('POST', '/graphql', nil, body)
end

function response(status, _, body)
  local right = status == 200 and not body:find('"errors"', 1, true)
  for _, text in ipairs(expected) do right = right and body:find(text, 1, true) ~= nil end
  if not right then wrong = wrong + 1 end
end

function done(summary)
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  local refused = thread:get('wrong')
  io.write(string.format('result %d %d %d\n', summary.requests - refused, summary.duration, failed + refused))
end
