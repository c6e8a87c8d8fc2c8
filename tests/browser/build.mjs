// Bundles Element's user interface with the page in shell/ into the folder that is named: node build.mjs FOLDER
import { copyFile, cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import * as esbuild from "esbuild";
import postcss from "postcss";
import postcssEasings from "postcss-easings";
import postcssHexrgba from "postcss-hexrgba";
import postcssImport from "postcss-import";
import postcssMixins from "postcss-mixins";
import postcssNested from "postcss-nested";
import postcssScss from "postcss-scss";
import postcssSimpleVars from "postcss-simple-vars";

const require = createRequire(import.meta.url);
const sdk = path.dirname(require.resolve("matrix-react-sdk/package.json"));
const out = path.resolve(process.argv[2]);

const WORKERS = ["blurhash", "indexeddb", "playback"];

// An SVG is both an address and a React component.
const svg = {
  name: "svg",
  setup(build) {
    build.onLoad({ filter: /\.svg$/ }, async ({ path: file }) => {
      const text = await readFile(file, "utf8");
      const [, attributes, inner] = /<svg([^>]*)>([\s\S]*)<\/svg>/.exec(text);
      const props = Object.fromEntries([...attributes.matchAll(/([\w:-]+)="([^"]*)"/g)].map((found) => found.slice(1)));
      delete props.class;
      delete props.style;
      return {
        loader: "js",
        resolveDir: sdk,
        contents: `import React from "react";
          export const Icon = (props) => React.createElement("svg", { ...${JSON.stringify(props)}, ...props,
            dangerouslySetInnerHTML: { __html: ${JSON.stringify(inner)} } });
          export default ${JSON.stringify("data:image/svg+xml," + encodeURIComponent(text))};`,
      };
    });
  },
};

// Workers are bundles of their own; recording sound needs none here.
const workers = {
  name: "workers",
  setup(build) {
    build.onLoad({ filter: /workers\/\w+WorkerFactory\.ts$/ }, ({ path: file }) => {
      const name = /(\w+)WorkerFactory\.ts$/.exec(file)[1];
      return { loader: "js", contents: `export default (options) => new Worker("${name}.worker.js", options);` };
    });
    build.onLoad({ filter: /opus-recorder\/dist\/|audio\/recorderWorkletFactory/ }, () => ({ loader: "js", contents: `module.exports = "";` }));
  },
};

// What Element's own build puts in by loaders of its own: the list of languages, and texts for exported chats, not needed here.
const others = {
  name: "others",
  setup(build) {
    build.onResolve({ filter: /^\$webapp\// }, ({ path: file }) => ({ path: file, namespace: "webapp" }));
    build.onResolve({ filter: /^!!raw-loader!/ }, ({ path: file }) => ({ path: file, namespace: "raw" }));
    build.onLoad({ filter: /.*/, namespace: "raw" }, () => ({ loader: "js", contents: `module.exports = "";` }));
    build.onLoad({ filter: /.*/, namespace: "webapp" }, () => ({ loader: "js", contents: `module.exports = "i18n/languages.json";` }));
  },
};

// The theme names its pictures from $(res), and its parts from where they lie.
async function buildTheme() {
  const from = path.join(sdk, "res/themes/light/css/light.pcss");
  const plugins = [postcssImport(), postcssMixins(), postcssSimpleVars({ unknown() {} }), postcssNested(), postcssEasings(), postcssHexrgba()];
  const { css } = await postcss(plugins).process(await readFile(from), { from, parser: postcssScss });
  const compound = ["@vector-im/compound-design-tokens/assets/web/css/compound-design-tokens.css", "@vector-im/compound-web/dist/style.css"];
  await esbuild.build({
    stdin: { contents: compound.map((file) => `@import "${file}";\n`).join("") + css, loader: "css", resolveDir: path.dirname(from) },
    outfile: path.join(out, "theme-light.css"),
    bundle: true,
    assetNames: "assets/[name]-[hash]",
    logLevel: "error",
    loader: { ".svg": "file", ".png": "file", ".gif": "file", ".woff2": "file", ".woff": "file", ".ttf": "file" },
    plugins: [
      {
        name: "res",
        setup(build) {
          build.onResolve({ filter: /^\$\(res\)\// }, ({ path: file }) => ({ path: path.join(sdk, "res", file.slice("$(res)/".length)) }));
        },
      },
    ],
  });
}

function buildScripts() {
  return esbuild.build({
    entryPoints: {
      app: "shell/main.js",
      ...Object.fromEntries(WORKERS.map((name) => [`${name}.worker`, path.join(sdk, `src/workers/${name}.worker.ts`)])),
    },
    outdir: out,
    bundle: true,
    assetNames: "assets/[name]-[hash]",
    format: "iife",
    target: "chrome120",
    logLevel: "error",
    define: { "process.env.NODE_ENV": '"production"', "import.meta.url": "document.baseURI" },
    inject: ["shell/globals.js"],
    alias: { stream: "util", crypto: "util", fs: "util", path: "util" },
    loader: { ".png": "file", ".gif": "file", ".wasm": "file", ".ogg": "file", ".mp3": "file", ".woff2": "file" },
    tsconfigRaw: { compilerOptions: { jsx: "react", experimentalDecorators: true, useDefineForClassFields: true } },
    plugins: [svg, workers, others],
  });
}

await mkdir(path.join(out, "i18n"), { recursive: true });
await Promise.all([
  buildScripts(),
  buildTheme(),
  copyFile("shell/index.html", path.join(out, "index.html")),
  copyFile("shell/media.js", path.join(out, "media.js")),
  copyFile(path.join(sdk, "src/i18n/strings/en_EN.json"), path.join(out, "i18n/en_EN.json")),
  writeFile(path.join(out, "i18n/languages.json"), JSON.stringify({ en: "en_EN.json" })),
  cp(path.join(sdk, "res/media"), path.join(out, "media"), { recursive: true }),
]);
