// A certified OpenID provider (npm oidc-provider), with one client and users made up of their names.
// Arguments: port, redirect URI, folder of node_modules.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [port, redirectUri, modules] = process.argv.slice(2);
const require = createRequire(pathToFileURL(`${modules}/`));
const { default: Provider } = await import(pathToFileURL(require.resolve('oidc-provider')));

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{ client_id: 'hub', client_secret: 'hush', redirect_uris: [redirectUri] }],
  claims: { email: ['email', 'email_verified'], roles: ['roles'] },
  scopes: ['openid', 'email', 'profile', 'roles'],
  cookies: { keys: ['k'] },
  findAccount: (ctx, id) => ({
    accountId: id,
    claims: () => ({
      sub: id,
      email: `${id}@example.org`,
      email_verified: !id.startsWith('unverified'),
    }),
  }),
});
provider.listen(Number(port), '127.0.0.1', () => console.log('up'));
