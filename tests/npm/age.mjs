// Encrypts or decrypts standard input with the npm package age-encryption:
//   node age.mjs encrypt RECIPIENT... | node age.mjs decrypt IDENTITY | node age.mjs generate
//   node age.mjs encrypt-passphrase PASSPHRASE | node age.mjs decrypt-passphrase PASSPHRASE
import { readFileSync, writeSync } from "node:fs";
import { Decrypter, Encrypter, generateHybridIdentity, identityToRecipient } from "age-encryption";

function write(bytes) {
  for (let done = 0; done < bytes.length; ) done += writeSync(1, bytes, done);
}

const [verb, ...keys] = process.argv.slice(2);
if (verb === "generate") {
  const identity = await generateHybridIdentity();
  console.log(JSON.stringify({ identity, recipient: await identityToRecipient(identity) }));
} else if (verb.startsWith("encrypt")) {
  const encrypter = new Encrypter();
  if (verb === "encrypt") keys.forEach((key) => encrypter.addRecipient(key));
  else {
    encrypter.setScryptWorkFactor(10);
    encrypter.setPassphrase(keys[0]);
  }
  write(await encrypter.encrypt(new Uint8Array(readFileSync(0))));
} else {
  const decrypter = new Decrypter();
  if (verb === "decrypt") keys.forEach((key) => decrypter.addIdentity(key));
  else decrypter.addPassphrase(keys[0]);
  write(await decrypter.decrypt(new Uint8Array(readFileSync(0))));
}
