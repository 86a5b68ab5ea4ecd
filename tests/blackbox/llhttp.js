// Reads base64 lines from stdin, parses each with node's llhttp in strict mode, and prints what it found as JSON lines:
// {requests: [[method, target, body in base64], ...], error: name of llhttp's error or null, open: inside of a message}.
'use strict';
process.noDeprecation = true;
const { HTTPParser, methods } = process.binding('http_parser');
const readline = require('readline');

function parse(bytes) {
  const requests = [];
  let current = null;
  let url = '';
  const parser = new HTTPParser();
  parser.initialize(HTTPParser.REQUEST, {}, 0, 0);
  parser[HTTPParser.kOnHeaders | 0] = (_headers, more) => { if (current === null) url += more; };
  parser[HTTPParser.kOnHeadersComplete | 0] = (_major, _minor, _headers, method, target) => {
    const names = typeof method === 'number' ? methods[method] : String(method);
    current = { method: names, target: target === undefined ? url : url + target, body: [] };
    url = '';
    return 0;
  };
  parser[HTTPParser.kOnBody | 0] = (chunk) => { current.body.push(Buffer.from(chunk)); };
  parser[HTTPParser.kOnMessageComplete | 0] = () => {
    requests.push([current.method, current.target, Buffer.concat(current.body).toString('base64')]);
    current = null;
  };
  const result = parser.execute(bytes);
  const error = result instanceof Error ? result.code : null;
  const end = error ? null : parser.finish();
  const open = current !== null || end instanceof Error;
  parser.free();
  return { requests, error, open };
}

const lines = readline.createInterface({ input: process.stdin });
lines.on('line', (line) => process.stdout.write(JSON.stringify(parse(Buffer.from(line, 'base64'))) + '\n'));
