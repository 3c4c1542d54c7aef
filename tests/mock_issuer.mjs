// npm oauth2-mock-server: an issuer of which the tests say what its tokens claim, and which keys it
// has. It runs behind a server of its own, so that its keys and claims are changed by HTTP:
//   POST /control {"claims": {…}, "header": {…}, "ttl": seconds, "key": "new kid", "drop": "old kid",
//                  "sign": "HS256" | "none" | "stranger"}
// Arguments: port, folder of node_modules.
import { createHmac } from 'node:crypto';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [port, modules] = process.argv.slice(2);
const require = createRequire(pathToFileURL(`${modules}/`));
const { OAuth2Issuer, OAuth2Service } = await import(
  pathToFileURL(require.resolve('oauth2-mock-server')));

const base = `http://127.0.0.1:${port}`;
const encode = value => Buffer.from(JSON.stringify(value)).toString('base64url');
let said = { claims: {}, userinfo: {} };
let issuer, service;
let current, strangers;

function open(keys) {
  issuer = new OAuth2Issuer();
  issuer.url = base;
  service = new OAuth2Service(issuer, { authorize: '/authorize', token: '/oauth/token' });
  service.on('beforeTokenSigning', token => {
    Object.assign(token.payload, said.claims);
    for (const name of said.without ?? []) delete token.payload[name];
    if (said.ttl !== undefined) token.payload.exp = Math.floor(Date.now() / 1000) + said.ttl;
  });
  service.on('beforeResponse', answer => {
    if (said.sign && answer.body.id_token) answer.body.id_token = forged(answer.body.id_token);
  });
  service.on('beforeUserinfo', answer => { answer.body = { ...answer.body, ...said.userinfo }; });
  return Promise.all(keys.map(key => issuer.keys.add(key)));
}

// What somebody makes of a good token who has no key of the issuer, or only its public one.
function forged(token) {
  const payload = token.split('.')[1];
  if (said.sign === 'none') return `${encode({ alg: 'none', typ: 'JWT' })}.${payload}.`;
  if (said.sign === 'HS256') {
    const { kid } = current;
    const head = `${encode({ alg: 'HS256', typ: 'JWT', kid })}.${payload}`;
    const secret = JSON.stringify(issuer.keys.toJSON()[0]);
    return `${head}.${createHmac('sha256', secret).update(head).digest('base64url')}`;
  }
  return strangers.sign(payload);
}

// Another issuer's key, under a name that this one does not know.
async function stranger() {
  const { generateKeyPairSync, createSign } = await import('node:crypto');
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return {
    sign(payload) {
      const head = `${encode({ alg: 'RS256', typ: 'JWT', kid: said.kid ?? 'strange' })}.${payload}`;
      return `${head}.${createSign('RSA-SHA256').update(head).sign(privateKey, 'base64url')}`;
    },
  };
}

async function change(wanted) {
  if (wanted.rotate) {
    const maker = new OAuth2Issuer();
    current = await maker.keys.generate('RS256', { kid: wanted.rotate });
    await open([current]); // the old key is no longer told
    return;
  }
  said = { claims: {}, userinfo: {}, ...wanted };
}

strangers = await stranger();
await change({ rotate: 'first' });
createServer((request, response) => {
  if (request.url !== '/control') return service.requestHandler(request, response);
  let body = '';
  request.on('data', part => { body += part; });
  request.on('end', async () => {
    await change(JSON.parse(body));
    response.end('{}');
  });
}).listen(Number(port), '127.0.0.1', () => console.log('up'));
