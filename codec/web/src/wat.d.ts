/** What the build makes of WebAssembly in text. */
declare module "*.wat" {
  const code: Uint8Array;
  export default code;
}
