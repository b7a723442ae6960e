-- Carries out a batch of operations, in order and as one: what limits.py, hints.py and link.py ask for.
--
-- ARGV[1]: a microsecond to take for now, or "" for this server's clock, which all replicas share.
-- ARGV[2]: the operations, msgpack. The answer is msgpack too, one value an operation.
--
-- Every key begins with `tollway:1:`; another layout gets another number, so that versions don't read each other's.
--   w:<period>:<key>  a window (limits/window.py has the theory): u = used, lo and hi = its slots, and each slot's amount
--   c:<key>           who is inside: a lease each, by the microsecond at which it ends
--   health            what each replica last told of providers: <moment> <report>, by replica

local ROOT = 'tollway:1:'
local SLOTS = 60
local LEASE_US = 60 * 1000000        -- limits.py renews every third of it
local LEASES_MS = 2 * 60 * 1000
local REPORT_US = 600 * 1000000      -- the longest that a hint counts
local REPORTS_MAX = 256

local now
if ARGV[1] == '' then
    local time = redis.call('TIME')
    now = tonumber(time[1]) * 1000000 + tonumber(time[2])
else
    now = tonumber(ARGV[1])
end

local function width_of(period)
    return math.ceil(period * 1000000 / SLOTS)
end

local function amounts(window)
    local slots = {}
    for slot = window.lo, window.hi do slots[#slots + 1] = slot end
    return redis.call('HMGET', window.name, unpack(slots))
end

-- The window as it is now: what is over a period old is forgotten.
local function window_of(key, period)
    local window = {name = ROOT .. 'w:' .. period .. ':' .. key, width = width_of(period), used = 0}
    local slot = math.floor(now / window.width)
    window.slot = slot
    local found = redis.call('HMGET', window.name, 'u', 'lo', 'hi')
    if not found[1] then return window end
    local lo, hi, last = tonumber(found[2]), tonumber(found[3]), slot - SLOTS
    if hi < last or hi > slot + SLOTS + 1 then  -- the latter: the clock was set back by more than a period
        redis.call('DEL', window.name)
        return window
    end
    window.used, window.lo, window.hi = tonumber(found[1]), lo, hi
    if lo < last then
        local old = {name = window.name, lo = lo, hi = last - 1}
        for i, amount in ipairs(amounts(old)) do
            if amount then
                window.used = window.used - tonumber(amount)
                redis.call('HDEL', window.name, lo + i - 1)
            end
        end
        window.lo = last
        redis.call('HSET', window.name, 'u', window.used, 'lo', last)
    end
    return window
end

local function add(window, amount)
    if window.hi and window.hi > window.slot then window.slot = window.hi end  -- the clock was set back a little
    window.hi = window.slot
    window.lo = window.lo or window.slot
    window.used = window.used + amount
    redis.call('HINCRBY', window.name, window.slot, amount)
    redis.call('HSET', window.name, 'u', window.used, 'lo', window.lo, 'hi', window.hi)
    redis.call('PEXPIRE', window.name, math.ceil(window.width * (SLOTS + 2) / 1000))
end

local function ends(window, slot)
    return (slot + SLOTS + 1) * window.width - now
end

-- Microseconds until at most `room` are used, if nobody takes any more.
local function wait(window, room)
    local left = window.used
    if left <= room then return 0 end
    if window.lo then
        for i, amount in ipairs(amounts(window)) do
            left = left - tonumber(amount or 0)
            if left <= room then return ends(window, window.lo + i - 1) end
        end
    end
    return SLOTS * window.width
end

local function crowded(key, at_once)
    local name = ROOT .. 'c:' .. key
    if redis.call('ZCARD', name) < at_once then return false end
    redis.call('ZREMRANGEBYSCORE', name, '-inf', now)
    return redis.call('ZCARD', name) >= at_once
end

local function lease(key, id)
    local name = ROOT .. 'c:' .. key
    redis.call('ZADD', name, now + LEASE_US, id)
    redis.call('PEXPIRE', name, LEASES_MS)
end

local OPERATIONS = {}

-- take?, lease, {{key, amount, at_once or -1, {{most, period}, ...}}, ...}
-- -> {the first ask that doesn't fit or -1, now, {{{left, whole, wait}, ...}, ...}}
function OPERATIONS.take(taking, id, asks)
    local short, windows = -1, {}
    for place, ask in ipairs(asks) do
        windows[place] = {}
        if short < 0 and ask[3] >= 0 and crowded(ask[1], ask[3]) then short = place - 1 end
        for i, rate in ipairs(ask[4]) do
            local window = window_of(ask[1], rate[2])
            windows[place][i] = window
            if short < 0 and window.used + ask[2] > rate[1] then short = place - 1 end
        end
    end
    local levels = {}
    for place, ask in ipairs(asks) do
        if taking and short < 0 and ask[3] >= 0 then lease(ask[1], id) end
        levels[place] = {}
        for i, rate in ipairs(ask[4]) do
            local window, waits = windows[place][i], 0
            if short >= 0 then waits = wait(window, rate[1] - ask[2])
            elseif taking and ask[2] > 0 then add(window, ask[2]) end
            levels[place][i] = {
                math.max(0, rate[1] - window.used), window.hi and ends(window, window.hi) or 0, waits
            }
        end
    end
    return {short, now, levels}
end

-- when, {{key, by, {period, ...}}, ...}: what was taken then came to more or less
function OPERATIONS.settle(at, changes)
    for _, change in ipairs(changes) do
        for _, period in ipairs(change[3]) do
            local name = ROOT .. 'w:' .. period .. ':' .. change[1]
            local slot = math.floor(at / width_of(period))
            local amount = redis.call('HGET', name, slot)
            if amount then
                local by = math.max(change[2], -tonumber(amount))
                redis.call('HINCRBY', name, slot, by)
                redis.call('HINCRBY', name, 'u', by)
            end
        end
    end
    return 0
end

-- lease, {key, ...}
function OPERATIONS.leave(id, keys)
    for _, key in ipairs(keys) do redis.call('ZREM', ROOT .. 'c:' .. key, id) end
    return 0
end

-- {{lease, {key, ...}}, ...}
function OPERATIONS.renew(leases)
    for _, renewed in ipairs(leases) do
        for _, key in ipairs(renewed[2]) do lease(key, renewed[1]) end
    end
    return 0
end

-- replica, report -> {{microseconds since it was told, report}, ...} of the others; a report is printable ASCII
function OPERATIONS.report(replica, report)
    local name, told = ROOT .. 'health', {}
    local all = redis.call('HGETALL', name)
    for i = 1, #all, 2 do
        local moment, text = string.match(all[i + 1], '^(%d+) ([\32-\126]*)$')
        local age = moment and now - tonumber(moment)
        if not age or age > REPORT_US or age < -REPORT_US then
            redis.call('HDEL', name, all[i])
        elseif all[i] ~= replica and #told < REPORTS_MAX then
            told[#told + 1] = {age, text}
        end
    end
    if report == '' then
        redis.call('HDEL', name, replica)
    else
        redis.call('HSET', name, replica, string.format('%.0f ', now) .. report)
        redis.call('PEXPIRE', name, REPORT_US / 1000)
    end
    return told
end

local answers = {}
for i, operation in ipairs(cmsgpack.unpack(ARGV[2])) do
    answers[i] = OPERATIONS[operation[1]](operation[2], operation[3], operation[4])
end
return cmsgpack.pack(answers)
